"""Makes the repository's documents the pages of the site, under their own paths (mkdocs.yml)."""

import base64
import itertools
import json
import pathlib
import re

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parent.parent
PAGES = ("*.md", "docs/*.md", "experiments/*.md", "prsr/weights/*/*.md")
SOURCE = re.compile(r"(?<=\]\()((?!https?:)[^)#\s]+\.(?:py|flags|json|cff))\)")


def on_files(files, config):
    """Replaces the files of docs_dir by pages, pictures, the notebook, and sources they link to."""
    for file in [*files.documentation_pages(), *files.media_files()]:
        if file.src_dir == config.docs_dir:
            files.remove(file)
    pages = [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]
    for path in [*pages, *sorted(ROOT.glob("experiments/*.png")), ROOT / "docs" / "site.css"]:
        name = path.relative_to(ROOT).as_posix()
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    tour, made = notebook(ROOT / "docs" / "tour.ipynb")
    made["docs/tour.md"] = tour
    texts = [(ROOT / "docs", tour), *((path.parent, path.read_text()) for path in pages)]
    linked = {(folder / link).resolve() for folder, text in texts for link in SOURCE.findall(text)}
    for path in sorted(linked):
        name = path.relative_to(ROOT).as_posix()
        language = path.suffix[1:] if path.suffix in (".py", ".json") else "text"
        made[f"{name}.md"] = (
            f"---\nsearch:\n  exclude: true\n---\n# {name}\n\n"
            f"```{language}\n{path.read_text()}```\n"
        )
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown, **_):
    """Leads links to sources and to the notebook to their pages."""
    return SOURCE.sub(r"\1.md)", markdown).replace("tour.ipynb)", "tour.md)")


def notebook(path):
    """A notebook as Markdown, and its pictures by path."""
    parts, pictures, number = [], {}, itertools.count(1)
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {"text/plain": output.get("text")})
            if "image/png" in data:
                name = f"{path.stem}-{next(number)}.png"
                pictures[f"docs/{name}"] = base64.b64decode("".join(data["image/png"]))
                parts.append(f"![]({name})")
            elif "text/html" in data:
                parts.append("".join(data["text/html"]))
            else:
                parts.append(f"```text\n{''.join(data['text/plain']).rstrip()}\n```")
    return "\n\n".join(parts), pictures
