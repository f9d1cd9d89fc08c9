"""Explanations of the commonest errors of PostgreSQL, for readers in whose language the server does not answer.

The server's message is always quoted. In English its words suffice, so nothing is added.

Source: PostgreSQL's documentation, appendix A, "PostgreSQL Error Codes".
"""

from __future__ import annotations

import psycopg

from sspcloud_magics.i18n import N_, _, current
from sspcloud_magics.printable import shorten

# By SQLSTATE. A sentence holds for each message that has the code.
_EXPLANATIONS = {
    # Features and values
    "0A000": N_("PostgreSQL does not support this"),
    "21000": N_("Several rows come where one is allowed"),
    "22001": N_("The text is longer than the column allows"),
    "22003": N_("The number is out of the range of its type"),
    "22007": N_("The text is not a date or a time in a known format"),
    "22008": N_("This date or time does not exist"),
    "2200H": N_("The sequence has no number left"),
    "22012": N_("Division by zero"),
    "2201E": N_("The logarithm of this number does not exist"),
    "2201F": N_("This power or root does not exist"),
    "22021": N_("A character does not exist in the encoding of the database"),
    "22023": N_("The value of an argument is invalid"),
    "22P02": N_("The text cannot be converted to this type"),
    "22P04": N_("The file does not have the format that COPY expects"),
    # Constraints
    "23502": N_("The column needs a value: NULL is not allowed"),
    "23503": N_("The foreign key needs a matching row in the other table"),
    "23505": N_("This value exists already, and the column allows it once"),
    "23514": N_("The row breaks a rule of the table"),
    "23P01": N_("The row conflicts with another one"),
    # Transactions and cancellation
    "25001": N_("The statement is not allowed inside a transaction"),
    "25006": N_("Nothing can be written here: the session or the transaction is read-only"),
    "25P02": N_("An earlier statement of the transaction failed, so the next ones are ignored"),
    "25P03": N_("The transaction was open without activity for too long"),
    "2BP01": N_("Other objects depend on this one"),
    "40001": N_("Another transaction changed the same rows at the same time"),
    "40P01": N_("Two transactions waited for each other, so this one was cancelled"),
    "55006": N_("The object is in use"),
    "55P03": N_("Another session holds a lock on the table"),
    "57014": N_("The statement was cancelled"),
    "57P01": N_("The server ended the session"),
    "57P03": N_("The server accepts no connections at the moment"),
    # Names
    "28P01": N_("The user or the password is wrong"),
    "3D000": N_("There is no such database"),
    "3F000": N_("There is no such schema"),
    "42701": N_("A column with this name exists already"),
    "42702": N_("Several tables have a column with this name"),
    "42703": N_("There is no such column"),
    "42704": N_("There is no such object or setting"),
    "42710": N_("An object with this name exists already"),
    "42712": N_("Two tables of the query have the same name"),
    "42883": N_("There is no such function or operator for these types"),
    "42P01": N_("There is no such table or view"),
    "42P06": N_("A schema with this name exists already"),
    "42P07": N_("A table or an index with this name exists already"),
    # Statements
    "42501": N_("You do not have the necessary privilege"),
    "42601": N_("PostgreSQL does not understand the statement: there is a syntax error"),
    "42725": N_("Several functions or operators match: the types must be given"),
    "42803": N_("An aggregate is in the wrong place, or a column is missing in GROUP BY"),
    "42804": N_("The types do not match"),
    "42809": N_("The object is not of the kind that the statement needs"),
    "42846": N_("This conversion between types does not exist"),
    "42P08": N_("The type of a parameter is ambiguous"),
    "42P10": N_("The reference to a column is invalid"),
    "42P18": N_("The type of a parameter is unknown"),
    "42P20": N_("A window function is in the wrong place"),
    "P0001": N_("A function of the database reports an error"),
    # Resources
    "53100": N_("The disk of the server is full"),
    "53200": N_("The server has no memory left"),
    "53300": N_("The server has no connection left"),
    "54001": N_("The statement is too complex"),
    "XX000": N_("Internal error of the server"),
}


def describe(error: psycopg.Error) -> str:
    """Return the server's message, after an explanation where the reader's language is not English."""
    diagnosis = error.diag
    words = shorten(diagnosis.message_primary or str(error).strip() or type(error).__name__)
    explanation = _EXPLANATIONS.get(diagnosis.sqlstate or "", "")
    # A server can translate its messages itself: its severity is then another word.
    is_english = diagnosis.severity == diagnosis.severity_nonlocalized
    if current() == "en" or not explanation or not is_english:
        return words
    return _("{explanation}: “{words}”", explanation=_(explanation), words=words)
