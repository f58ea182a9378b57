"""The machine under the program: files, processors, the terminal, and errors for people."""
