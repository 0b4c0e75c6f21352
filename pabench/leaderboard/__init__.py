"""Results of others: submissions, banks, boards and the published site.

What is believed of a submission is decided in `leaderboard.verification`; pages of single studies are made by `report`.
"""
