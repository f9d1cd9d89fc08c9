"""The clients of the databases that ``%query_db`` does not query, as the few lines that connect them.

The lines hold no login: ``ssp.endpoint`` reads it from the Secret into a variable.
`{name}`, `{service}` and `{namespace}` stand for the database. The lines are Python, so they are not translated.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import N_, _
from sspcloud_magics.printable import printable


@dataclass(frozen=True, slots=True)
class Client:
    """A client of a kind of database."""

    package: str  # what to install, in pip's syntax
    lines: str  # the lines that connect and read, in Python
    note: str = ""  # what to know about the route, as a sentence; may be empty


_TUNNEL = N_(
    "The server's certificate is its own, so it is not verified; up to the cluster, the tunnel is encrypted."
)

CLIENTS = {
    # Version 9 of the client refuses to talk to the server 8 of the chart.
    "elastic": Client(
        "'elasticsearch>=8,<9'",
        """\
from elasticsearch import Elasticsearch
client = Elasticsearch(f"https://127.0.0.1:{endpoint.port}", basic_auth=endpoint.login, verify_certs=False)
client.search(index="my-index", size=10)""",
        _TUNNEL,
    ),
    "opensearch": Client(
        "opensearch-py",
        """\
from opensearchpy import OpenSearch
client = OpenSearch(f"https://127.0.0.1:{endpoint.port}", http_auth=endpoint.login, verify_certs=False)
client.search(index="my-index", size=10)""",
        _TUNNEL,
    ),
    "trino": Client(
        "trino",
        """\
import pandas, trino
connection = trino.dbapi.connect(
    host=endpoint.host, port=endpoint.port, user=endpoint.user, http_scheme="https",
    auth=trino.auth.BasicAuthentication(*endpoint.login),
)
pandas.read_sql("SHOW CATALOGS", connection)""",
        N_("Trino takes a password only over https, so the endpoint is its ingress."),
    ),
    "neo4j": Client(
        "neo4j",
        """\
from getpass import getpass
from neo4j import GraphDatabase, Result
driver = GraphDatabase.driver(f"bolt://127.0.0.1:{endpoint.port}", auth=("neo4j", getpass("Password: ")))
driver.execute_query("MATCH (n) RETURN n LIMIT 10", result_transformer_=Result.to_df)""",
        N_("Its password is in no Secret: it is the one that the service's page shows."),
    ),
    "hive": Client(
        "pyspark",
        """\
from pyspark.sql import SparkSession
spark = SparkSession.builder.config(
    "hive.metastore.uris", f"thrift://127.0.0.1:{endpoint.port}"
).enableHiveSupport().getOrCreate()
spark.sql("SHOW DATABASES").toPandas()""",
    ),
    # The extra with a hyphen: with an underscore, pip before 23.3 installs PyHive without it.
    "spark-thrift-server": Client(
        "'pyhive[hive-pure-sasl]'",
        """\
import pandas
from pyhive import hive
connection = hive.connect("127.0.0.1", endpoint.port)
pandas.read_sql("SHOW TABLES", connection)""",
    ),
    "kafka": Client(
        "kafka-python",
        """\
from kafka import KafkaConsumer
consumer = KafkaConsumer("my-topic", bootstrap_servers="{service}.{namespace}.svc:{port}")
next(consumer)""",
        N_("A broker sends clients to its own address, so this works only in a service of the datalab."),
    ),
    "qdrant": Client(
        "qdrant-client",
        """\
from qdrant_client import QdrantClient
client = QdrantClient(url=f"http://127.0.0.1:{endpoint.port}")
client.get_collections()""",
    ),
    "chromadb": Client(
        "chromadb",
        """\
import chromadb
client = chromadb.HttpClient("127.0.0.1", endpoint.port, settings=chromadb.Settings(
    chroma_client_auth_provider="chromadb.auth.basic_authn.BasicAuthClientProvider",
    chroma_client_auth_credentials=":".join(endpoint.login),
))
client.list_collections()""",
    ),
    "milvus": Client(
        "pymilvus",
        """\
from pymilvus import MilvusClient
client = MilvusClient(f"http://127.0.0.1:{endpoint.port}", token=":".join(endpoint.login))
client.list_collections()""",
    ),
    "fuseki": Client(
        "pandas",
        """\
import pandas
from urllib.parse import urlencode
query = urlencode({"query": "SELECT * WHERE {?s ?p ?o} LIMIT 10"})
pandas.read_csv(f"http://127.0.0.1:{endpoint.port}/my-dataset/sparql?{query}", storage_options={"Accept": "text/csv"})""",
    ),
}


class ClientGuide(UsageProblem):
    """A database has another client than ``%query_db``; ``%connect_db`` displays the lines that connect it.

    Parameters
    ----------
    name, kind
        The database, as the user names it, and its kind.
    service, namespace, port
        The service that a client dials.
    """

    def __init__(self, name: str, kind: str, *, service: str, namespace: str, port: int) -> None:
        client = CLIENTS[kind]
        lines = client.lines.replace("{service}", service).replace("{namespace}", namespace)
        lines = lines.replace("{port}", str(port))
        start = f"import sspcloud_magics as ssp\nendpoint = ssp.endpoint({name!r})\n"
        # The code for a cell; printable.
        self.code = printable(
            f"%pip install -q {client.package}\n{start if 'endpoint.' in lines else ''}{lines}"
        )
        super().__init__(
            _("{name} is a {kind} database: its own client connects to it.", name=name, kind=kind),
            why=_(client.note) if client.note else "",
            hint=_("%connect_db {name}   shows the lines to copy", name=name),
        )

    def __repr__(self) -> str:
        lead = " ".join(part for part in (self.what, self.why, _("Copy these lines into a cell:")) if part)
        return printable(f"{lead}\n\n{self.code}")

    def _repr_mimebundle_(self, **_bundle: object) -> dict[str, str]:
        lead, _gap, code = repr(self).partition("\n\n")
        html = f"<p>{escape(lead)}</p><pre style='user-select:all'><code>{escape(code)}</code></pre>"
        return {"text/plain": repr(self), "text/html": html}
