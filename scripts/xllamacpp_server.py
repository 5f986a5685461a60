#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs llama.cpp's own HTTP server out of the Python package xllamacpp.

Second choice of fetch_llama.py, for machines where the prebuilt llama-server does not run. It takes
the flags of llama-server that Berth passes; its --help says which. SIGTERM ends it at once.
"""
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# flag -> (names, what it sets, type of its value or None, sentence)
FLAGS = [
    (("-m", "--model"), "model.path", str, "model path to load"),
    (("--host",), "hostnames", lambda text: [text], "ip address or path of a unix socket"),
    (("--port",), "port", int, "port to listen"),
    (("-t", "--threads"), "cpuparams.n_threads", int, "number of CPU threads to use during generation"),
    (("-tb", "--threads-batch"), "cpuparams_batch.n_threads", int, "number of threads for prompts"),
    (("-c", "--ctx-size"), "n_ctx", int, "size of the prompt context"),
    (("-b", "--batch-size"), "n_batch", int, "logical maximum batch size"),
    (("-ub", "--ubatch-size"), "n_ubatch", int, "physical maximum batch size"),
    (("-np", "--parallel"), "n_parallel", int, "number of server slots"),
    (("-ngl", "--n-gpu-layers"), "n_gpu_layers", int, "layers to store in VRAM"),
    (("-a", "--alias"), "model_alias", lambda text: {text}, "set alias for model name"),
    (("-n", "--n-predict"), "n_predict", int, "number of tokens to predict"),
    (("--slot-save-path",), "slot_save_path", lambda text: os.path.join(text, ""), "where slots are saved"),
    (("--cache-ram",), "cache_ram_mib", int, "maximum size of the prompt cache in MiB"),
    (("--rope-freq-base",), "rope_freq_base", float, "RoPE base frequency"),
    (("--sse-ping-interval",), "sse_ping_interval", int, "seconds between pings of a stream"),
    (("-kvu", "--kv-unified"), "kv_unified", None, "use single unified KV buffer for all sequences"),
    (("--no-cache-idle-slots",), "cache_idle_slots", False, "keep idle slots where they are"),
    (("--no-warmup",), "warmup", False, "skip warming up the model with an empty run"),
    (("--metrics",), "endpoint_metrics", None, "enable the metrics endpoint"),
]


def apply(params, argv):
    known = {name: flag for flag in FLAGS for name in flag[0]}
    arguments = iter(argv)
    for argument in arguments:
        if argument not in known:
            sys.exit(f"error: invalid argument: {argument}")
        _, field, kind, _ = known[argument]
        try:
            value = (kind is None) if kind in (None, False) else kind(next(arguments))
        except (StopIteration, ValueError):
            sys.exit(f'error while handling argument "{argument}": expected value for argument')
        target = params
        *parents, last = field.split(".")
        for parent in parents:
            target = getattr(target, parent)
        setattr(target, last, value)


def main():
    argv = sys.argv[1:]
    if "-h" in argv or "--help" in argv:
        for names, _, kind, sentence in FLAGS:
            print(f"{', '.join(names)}{'' if kind in (None, False) else ' VALUE'}    {sentence}")
        return 0
    import xllamacpp

    if "--version" in argv:
        print(f"version: {xllamacpp.BUILD_INFO} (xllamacpp {xllamacpp._version.__version__})", file=sys.stderr)
        return 0
    params = xllamacpp.CommonParams()
    params.hostnames = ["127.0.0.1"]
    params.port = 8080
    apply(params, argv)
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        server = xllamacpp.Server(params)
    except Exception as error:  # the package's own error types differ by version
        print(f"srv  llama_server: exiting due to model loading error: {error}", file=sys.stderr)
        return 1
    print(f"srv  llama_server: model loaded; listening on {server.listening_address}", file=sys.stderr, flush=True)
    signal.sigwait(signals)
    os._exit(0)  # its threads end with the process: nothing is left to save


if __name__ == "__main__":
    sys.exit(main())
