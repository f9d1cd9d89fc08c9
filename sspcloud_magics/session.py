"""What this process is connected to: the cluster, the forwards and the database of the moment."""
