"""How networks were and are: history of lines, passports of places, the check before a call."""
