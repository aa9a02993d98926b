"""Rooms as hosts see them: titles, who is live."""
