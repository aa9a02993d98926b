"""The composition root: builds every part, serves, drains."""
