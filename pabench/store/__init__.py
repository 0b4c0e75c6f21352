"""What is kept: records, receipts, figures and masks on disk, each whole or absent, and how they are sealed.

Nothing here knows how a number came about, and nothing imports torch.
"""
