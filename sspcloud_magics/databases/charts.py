"""The charts of the catalogue: the kind of database, the service that a client dials, its port, and its login.

`tests/databases/catalogue.yaml` has the objects that each of them makes.
"""

from __future__ import annotations

from dataclasses import dataclass

POSTGRES_PORT = 5432


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of the catalogue, or a chart that it contains."""

    name: str  # the value of the label ``app.kubernetes.io/name`` on its services
    kind: str  # the kind of database, as Onyxia's discovery calls it
    port: int  # the usual port of the service that a client dials
    keys: str = ""  # the prefix of the keys in the discovery Secret; the kind if empty
    service: str = ""  # the service that the chart always makes; empty if it has the name of the release
    # The keys of the user and the password in the discovery Secret; empty if it has no login.
    login: tuple[str, str] | tuple[()] = ()

    @property
    def prefix(self) -> str:
        """The prefix of the keys in the discovery Secret."""
        return self.keys or self.kind


CHARTS = (
    Chart("postgresql", "postgres", POSTGRES_PORT, login=("postgres-username", "password")),
    # `mariadb-password` is root's.
    Chart("mariadb", "mariadb", 3306, login=("mariadb-username", "password")),
    Chart("mysql", "mysql", 3306),
    Chart(
        "mongodb",
        "mongodb",
        27017,
        service="mongodb-headless",
        login=("mongodb-username", "mongodb-password"),
    ),
    Chart(
        "elasticsearch",
        "elastic",
        9200,
        service="elastic-elasticsearch",
        login=("elastic-username", "elastic-password"),
    ),
    Chart(
        "opensearch",
        "opensearch",
        9200,
        service="opensearch-cluster-master",
        login=("opensearch-username", "opensearch-password"),
    ),
    Chart("trino", "trino", 8080, login=("trino-username", "trino-password")),
    Chart("neo4j", "neo4j", 7687),
    Chart("hive-metastore", "hive", 9083),
    Chart("spark-thrift-server", "spark-thrift-server", 10000, keys="thrift"),
    Chart("kafka", "kafka", 9092),
    Chart("qdrant", "qdrant", 6333),
    Chart(
        "chromadb",
        "chromadb",
        8000,
        login=("CHROMA_CLIENT_AUTH_USERNAME", "CHROMA_CLIENT_AUTH_PASSWORD"),
    ),
    Chart("milvus", "milvus", 19530, login=("MILVUS_USERNAME", "MILVUS_PASSWORD")),
    Chart("fuseki", "fuseki", 80),
)
CHARTS_BY_NAME = {chart.name: chart for chart in CHARTS}
CHARTS_BY_KIND = {chart.kind: chart for chart in CHARTS}

# The values of `app.kubernetes.io/component` on services of servers that no client writes to.
SECONDARY_COMPONENTS = frozenset({"arbiter", "hidden", "read", "secondary"})
