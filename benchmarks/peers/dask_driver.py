"""Dask's own cluster on one machine: a future a mini-batch, its rows as text, which Dask carries best."""

from __future__ import annotations

from dask.distributed import Client, LocalCluster, as_completed
from driving import output, put, task, text

if __name__ == "__main__":
    wanted = task()
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
        output(wanted) as (_, stream),
    ):
        client.upload_file(__file__.replace("dask_driver", "driving"))
        futures = client.map(lambda each: text(wanted, each), wanted.mini_batches(), pure=False)
        for found in as_completed(futures, with_results=True).batches():
            put(stream, (one for _, one in found))
