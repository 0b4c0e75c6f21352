"""Results folders as tables and pages: reading, joining and comparing them, and the frame of the page.

The sections of the page are plugins (`pabench_reports`); nothing here loads a model, a criterion or torch.
"""
