"""Share a database, and die at a step, as a kernel that is killed does: ``share_until.py KUBECONFIG DATABASE WORD…``.

The process kills itself in the middle of the first request to the API server, or of the first statement, whose
text holds all of the words.
"""

import os
import signal
import sys

import psycopg
import urllib3

import sspcloud_magics as ssp

kubeconfig, database, *words = sys.argv[1:]


def deadly(call):
    """Return `call`, which is made and then not survived."""

    def call_and_die(*arguments, **keywords):
        answer = call(*arguments, **keywords)
        if all(word in " ".join(map(str, arguments)) for word in words):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return call_and_die


urllib3.connectionpool.HTTPConnectionPool.urlopen = deadly(urllib3.connectionpool.HTTPConnectionPool.urlopen)
psycopg.Connection.execute = deadly(psycopg.Connection.execute)
ssp.login(kubeconfig=kubeconfig)
ssp.share_db(database, "bob")
