"""Where a trained model lives: run directories, the package's models, SavedModels."""
