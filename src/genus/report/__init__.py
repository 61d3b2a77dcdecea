"""The page that a comparison leaves behind."""

from genus.report.page import words, write_page

__all__ = ["words", "write_page"]
