"""A session with all possible output: every cell's result in every form, tracebacks with variables, debug logs.

Run as a program: ``verbose_session.py OWNER-KUBECONFIG COLLEAGUE-KUBECONFIG DATABASE``. Errors are provoked at every
step of sharing and joining; what comes out is searched for secrets by the test that runs it.
"""

import itertools
import logging
import sys

import psycopg
import urllib3
from IPython.core.interactiveshell import InteractiveShell

owner, colleague, database = sys.argv[1:]
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
shell = InteractiveShell.instance()
shell.history_manager.enabled = True


def run(cell):
    """Run a cell, and print what a notebook would save of it."""
    sys.stdout.write(f"In: {cell}\n")
    answer = shell.run_cell(cell, store_history=True)
    shown = (*shell.display_formatter.format(answer.result), answer.error_in_exec)
    sys.stdout.write(f"{shown}\n")
    sys.stdout.flush()


def fail_call(call, words, error):
    """Wrap `call` to raise if its arguments contain all of the words."""

    def fail_or_call(*arguments, **keywords):
        said = " ".join(map(str, arguments))
        if all(word in said for word in words):
            raise error
        return call(*arguments, **keywords)

    return fail_or_call


for cell in (
    "%load_ext sspcloud_magics",
    "%xmode Verbose",
    f"%k8s_login --kubeconfig {owner}",
    f"%share_db {database} --with bob --dry-run",
    f"share = %share_db {database} --with bob --via network\nshare",
    "%shares",
    "import sspcloud_magics as ssp",
):
    run(cell)

# Any step of a renewal may be interrupted, or meet a defect.
HTTP, SQL = urllib3.connectionpool.HTTPConnectionPool, psycopg.Connection
request, execute = HTTP.urlopen, SQL.execute
STEPS = (
    ("GET", f"{database}-superuser"),
    ("GET", f"secrets/{database}-share-bob"),
    ("PUT", "/jobs/"),
    ("PUT", "/secrets/"),
    ("PUT", "/rolebindings/"),
    ("selfsubjectaccessreviews",),
)


def provoke(cell, steps, statements=()):
    """Run a cell repeatedly, and let each step fail in turn, in different ways."""
    errors = itertools.cycle((KeyboardInterrupt(), RuntimeError("a defect")))
    for words in steps:
        HTTP.urlopen = fail_call(request, words, next(errors))
        run(cell)
        HTTP.urlopen = request
    for words in statements:
        SQL.execute = fail_call(execute, words, next(errors))
        run(cell)
        SQL.execute = execute


provoke(f"ssp.share_db({database!r}, 'bob')", STEPS, (("SCRAM-SHA-256",), ("GRANT SELECT",)))
run(f"%k8s_login --kubeconfig {colleague}")
run(f"%connect_db user-alice/{database}")
run("connection = ssp.connection()\nconnection")
run("%query_db SELECT * FROM nowhere")
run("1 / 0  # with all the notebook's variables about")
run("%databases")
provoke(
    f"ssp.connect_db('user-alice/{database}')", (("GET", f"secrets/{database}-share-bob"), ("GET", "-ca"))
)
run("%history")
run("ssp.close()")
sys.stdout.write("END\n")
