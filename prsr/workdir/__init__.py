"""Stores trained models: run directories, the bundled models, and SavedModels."""
