"""Fetch ONNX Runtime Web, the runtime of the web page."""

from entr.deploy.onnxruntime_web import fetch_onnxruntime_web
from entr.jobs.logs import configure_logging

configure_logging(snakemake.log[0])
fetch_onnxruntime_web(snakemake.config["onnxruntime_web"], dict(snakemake.output.items()), snakemake.config["download"])
