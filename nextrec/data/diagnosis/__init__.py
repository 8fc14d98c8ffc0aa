"""A look at data before a model sees it: what is wrong with it, and what to do about it.

=========  ===================================================================================
examine    the examination from beginning to end
plan       which columns mean what, and what the pass looks for
scan       one pass over the rows: profiles, token counts, hashes, a sample
hashing    equal values, rows and columns by their hash
columns    missing, constant, id-like and oddly typed columns; numbers far out
text       text that holds something else, tokens that should be one
copies     columns and rows that are there twice, also on both sides of a split
labels     balance, gaps, users with one label
leakage    columns that give the label away
splits     unknown tokens, drift and rows from the future between train and test
findings   what was found, as text and as plain values
=========  ===================================================================================
"""

from nextrec.data.diagnosis.examine import examine
from nextrec.data.diagnosis.findings import SEVERITIES, Diagnosis, Finding, Severity

__all__ = ["SEVERITIES", "Diagnosis", "Finding", "Severity", "examine"]
