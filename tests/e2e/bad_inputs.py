# SPDX-License-Identifier: Apache-2.0
"""Bad inputs of requests, the command line, the configuration and the state directory, as data.

Each answer is a regular expression for the whole message; @ stands for the test's own folder.
"""

SHOW_HELP = r"; see `berth --help`"
AMOUNT = (r" is not an amount of memory; write for example 8GB \(10\^9\), 8GiB \(2\^30\), 512MiB "
          r"or a number of bytes")
NO_JSON = r"the body is not valid JSON \({}\); send a JSON object"
NAMELESS = "server: the name is empty; `berth status` shows the servers" + SHOW_HELP
LIMIT = r" is not a number from 0 to 10000"
TWICE = r'the body names "{}" twice in one object; name it once'
ENDLESS = r'the body has a number at "{}" that is larger than 1\.8e308; send a smaller one'
KNOWN_OF_A_LEASE = r"no member of this request; known: bytes, vram, device, ram, class, max, name"


def deep(levels):
    return '{"model":"nobody","a":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


# name, body, status, code, message: of a chat
BODIES = [
    ("cut", '{"model":"chat"', 400, "bad_request", NO_JSON.format("incomplete JSON")),
    ("nothing", "", 400, "bad_request", NO_JSON.format("incomplete JSON")),
    ("a comma at the end", '{"model":"chat",}', 400, "bad_request", NO_JSON.format("syntax error")),
    ("NaN", '{"model":"chat","a":NaN}', 400, "bad_request", NO_JSON.format("syntax error")),
    ("a mark of byte order", '\ufeff{"model":"chat"}', 400, "bad_request",
     NO_JSON.format("syntax error")),
    ("half a surrogate", '{"model":"chat","a":"\\ud800"}', 400, "bad_request",
     NO_JSON.format("syntax error")),
    ("UTF-16", '{"model":"chat"}'.encode("utf-16-le"), 400, "bad_request",
     NO_JSON.format("syntax error")),
    ("UTF-8 in a longer form than needed", b'{"model":"chat","a":"\xc0\xaf"}', 400, "bad_request",
     NO_JSON.format("syntax error")),
    ("two values", '{"model":"chat"}{}', 400, "bad_request", NO_JSON.format("extra data")),
    ("65 levels", deep(65), 400, "bad_request", NO_JSON.format("too deep")),
    ("64 levels, which are taken", deep(64), 404, "not_found",
     r'there is no model "nobody" for this; known: "chat"'),
    ("two models", '{"model":"chat","model":"other"}', 400, "bad_request", TWICE.format("model")),
    ("stream twice", '{"model":"chat","stream":true,"stream":false}', 400, "bad_request",
     TWICE.format("stream")),
    ("a key of a tool twice", '{"model":"chat","tools":[{"a":1,"b":2,"\\u0061":3}]}', 400,
     "bad_request", TWICE.format("a")),
    ("no number", '{"model":"chat","max_tokens":1e400}', 400, "bad_request",
     ENDLESS.format("max_tokens")),
    ("a list", "[]", 400, "bad_request", r"the body must be a JSON object"),
    ("a number for a model", '{"model":1}', 400, "bad_request", r'"model" must be a string'),
]

# path, status, code, message
READS = [
    ("/api/v1/explain?limit=1000000000", 400, "bad_request", "limit=1000000000" + LIMIT),
    ("/api/v1/explain?limit=-1", 400, "bad_request", "limit=-1" + LIMIT),
    ("/api/v1/servers/chat/logs?lines=1000000000", 400, "bad_request", "lines=1000000000" + LIMIT),
    ("/api/v1/servers/%ff/logs", 404, "not_found",
     r'there is no server "\?"; known: "chat", "image"'),
    ("/api/v1/waits?limit=", 400, "bad_request", "limit=" + LIMIT),
    ("/api/v1/servers/chat/logs?lines=1e3", 400, "bad_request", "lines=1e3" + LIMIT),
    ("/api/v1/events?after=-1", 400, "bad_request",
     "after=-1 is not a number from 0 to 9223372036854775807"),
    ("/api/v1/servers/nobody/logs", 404, "not_found",
     r'there is no server "nobody"; known: "chat", "image"'),
]

# path, body, status, code, message: on the control socket
WISHES = [
    ("/api/v1/leases", '{"ram":-1}', 400, "bad_request", r'"ram" must be more than 0 bytes'),
    ("/api/v1/leases", '{"ram":"much"}', 400, "bad_request", r'"ram": "much"' + AMOUNT),
    ("/api/v1/leases", '{"ram":1e30}', 400, "bad_request",
     r'"ram": it must be a number of bytes, or text'),
    ("/api/v1/leases", '{"ram":1,"typo":2}', 400, "bad_request", '"typo" is ' + KNOWN_OF_A_LEASE),
    ("/api/v1/leases", "{}", 400, "bad_request",
     r'say how much: "vram", "ram", or "bytes" by pool'),
    ("/api/v1/leases", '{"ram":1,"ram":2}', 400, "bad_request", TWICE.format("ram")),
    ("/api/v1/leases", '{"ram":1e400}', 400, "bad_request", ENDLESS.format("ram")),
    ("/api/v1/holds", '{"servers":["chat"],"servers":["image"]}', 400, "bad_request",
     TWICE.format("servers")),
    ("/api/v1/servers/image/images", '{"prompt":"a","prompt":"b"}', 400, "bad_request",
     TWICE.format("prompt")),
    ("/api/v1/servers/image/images", '{"prompt":"a","width":1e400}', 400, "bad_request",
     ENDLESS.format("width")),
    ("/api/v1/servers/image/images", '{"prompt":"a","steps":-1}', 400, "bad_request",
     r"steps is -1; it takes a whole number from 1 to 100"),
    ("/api/v1/servers/image/images", '{"prompt":"a","height":1000000}', 400, "bad_request",
     r"height is 1000000; it takes a whole number from 64 to 4096"),
    ("/api/v1/holds", '{"servers":["nobody"]}', 404, "not_found",
     r'there is no server "nobody"; known: "chat", "image"'),
]

# path, a member of a picture, message: on the main address
SIZE = r"; it takes WIDTHxHEIGHT, each from 1 to 4096"
PICTURES = [
    ("/v1/images/generations", '"n":-5', r"n is -5; it takes a number from 1 to 8"),
    ("/v1/images/generations", '"n":1e400', ENDLESS.format("n")),
    ("/v1/images/generations", '"n":2,"n":1', TWICE.format("n")),
    ("/v1/images/generations", '"size":"1000000x1000000"', r'size is "1000000x1000000"' + SIZE),
    ("/v1/images/generations", '"size":"64*64"', r'size is "64\*64"' + SIZE),
    ("/v1/images/generations", '"steps":1000000000',
     r"steps is 1000000000; it takes a number from 1 to 100"),
    ("/sdapi/v1/txt2img", '"steps":-1', r"steps is -1; it takes a number from 1 to 100"),
    ("/sdapi/v1/txt2img", '"width":1e400', ENDLESS.format("width")),
    ("/sdapi/v1/txt2img", '"height":1000000', r"height is 1000000; it takes a number from 1 to 4096"),
    ("/sdapi/v1/txt2img", '"batch_size":1000000000',
     r"batch_size is 1000000000; it takes a number from 1 to 8"),
]

# path, body, message: nothing that sd-server could draw
NO_PROMPT = "; it takes a text of 1 byte or more"
PROMPTS = [
    (path, '{"user":"b"' + member + "}", message + NO_PROMPT)
    for path in ("/v1/images/generations", "/sdapi/v1/txt2img")
    for member, message in (("", "prompt is missing"), (',"prompt":""', 'prompt is ""'),
                            (',"prompt":["a"]', r'prompt is \["a"\]'),
                            (',"prompt":5', "prompt is 5"), (',"prompt":null', "prompt is null"))
]

# path, members, message of the real llama-server, whose judgement of its own form is passed on
NO_NUMBER = r"Field 'temperature': .*type must be number, but is string"
CHATS = [
    ("/v1/chat/completions", '"n_discard":-1', r"Field 'n_discard': .*but got -1"),
    ("/v1/chat/completions", '"n":-5', r"Field 'n': .*but got -5"),
    ("/v1/chat/completions", '"temperature":"x"', NO_NUMBER),
    ("/v1/chat/completions", '"temperature":"x","stream":true', NO_NUMBER),
    ("/v1/chat/completions", '"max_tokens":1e30', r"Field 'max_tokens': .*but got -2147483648"),
    ("/v1/messages", '"max_tokens":-5', r"Field 'max_tokens': .*but got -5"),
    ("/v1/messages", '"max_tokens":4,"temperature":"x"', NO_NUMBER),
]

# Last-Event-ID, message
NO_EVENT = r"Last-Event-ID={} is not a number from 0 to 9223372036854775807"
EVENTS = [(text, NO_EVENT.format(shown)) for text, shown in (
    ("garbage", "garbage"), ("-1", "-1"), ("1.5", r"1\.5"), ("1&limit=3", "1&limit=3"), ("", ""),
    ("99999999999999999999", "99999999999999999999"), ("\xff", r"\?"))]

# arguments, exit status, message
COMMANDS = [
    (["nonsense"], 64, r'there is no command "nonsense"' + SHOW_HELP),
    (["status", "--nonsense"], 64,
     "The following argument was not expected: --nonsense" + SHOW_HELP),
    (["start"], 64, "server is required" + SHOW_HELP),
    (["start", ""], 64, NAMELESS),
    (["hold", "chat", "", "--", "true"], 64, NAMELESS),
    (["models", "footprint", "--forget", ""], 64, NAMELESS),
    (["logs", "chat", "-n", "-1"], 64, "--number: Value -1 not in range 0 to 10000" + SHOW_HELP),
    (["logs", "-rf"], 64, "server is required" + SHOW_HELP),
    (["lease", "run", "--ram", "5XB", "--", "true"], 64, r'"ram": "5XB"' + AMOUNT),
    (["hold", "nobody", "--", "true"], 66, r'there is no server "nobody"; known: "chat", "image"'),
    (["plan", "--vram", "8GB", "--llm", "3GB:33/0"], 64,
     r'--llm "3GB:33/0": the layers are "33/0"; write ON_GPU/ALL, for example 32/32 or 16/32, or '
     r"all"),
    (["models", "show", "../../etc/passwd"], 66,
     r'there is no model "\.\./\.\./etc/passwd"; write "[^"]+"'),
    (["replay", "nofile"], 66,
     r"cannot read nofile: No such file or directory; a journal lies in the state directory, as journal\.jsonl"),
    (["chat", "-m", "nobody", "hi"], 66, r'there is no model "nobody" for this; known: "chat"'),
]

PARALLEL = "parallel = 1"
PORT = "port = 0"
WHOLE = r"; write a whole number from 1 to 256"
NO_NAME = r' cannot be the name of a server; write 1 to 32 of a-z, 0-9, "_" and "-"'

# what stands there, what is written instead, what is said behind file:line:column
CONFIGURATIONS = [
    (PARALLEL, "paralell = 1", r'\[server\.chat\] has no key "paralell"; write "parallel"'),
    (PARALLEL, 'parallel = "two"', r'parallel is "two"' + WHOLE),
    (PARALLEL, "parallel = -1", "parallel is -1" + WHOLE),
    (PARALLEL, "parallel = 99999999999999999999",
     r".*not representable in 64 bits; write key = .*"),
    (PARALLEL, "parallel = 1\nparallel = 2",
     r".*cannot redefine existing integer 'parallel'; .*"),
    (PORT, "port = 18099\n[server.other]\nkind = \"llama-server\"\nmodel = \"m\"\nport = 18099",
     r'port 18099 is the port of server "chat"; write another one, or 0 for any free port'),
    (PORT, 'max_hold = "soon"', r'max_hold: "soon" is not a length of time; write for example '
     r"250ms, 3s, 10min or 2h"),
    (PORT, 'fallback = "chat"', r'fallback is "chat", the server itself; add one of the same kind '
     r"and class, or leave the key out"),
    (PORT, 'extra_args = ["--host", "0.0.0.0"]', r'extra_args may not hold "--host"; Berth chooses '
     r"where the server listens; the port for clients is the key port"),
    (PORT, 'extra_args = ["--api-key=x"]',
     r'extra_args may not hold "--api-key(=x)?"; everybody on '
     r"this machine can read arguments, and only Berth reaches the server; leave it out"),
    (PORT, 'extra_args = ["--rpc", "192.0.2.1:50052"]', r'extra_args may not hold "--rpc"; it puts a '
     r"part of the model on another machine, whose memory Berth does not count; leave it out"),
    (PORT, r'extra_args = ["--chat-template", "a\nb"]', r"extra_args holds an argument with a control "
     r"character, for example a line break; leave it out, or name a file where the program takes "
     r"one"),
    ('kind = "llama-server"', 'kind = "vllm"', r'kind is "vllm"; write "llama-server" or '
     r'"sd-server".*'),
    ('memory = "300MiB"', 'memory = "-5GiB"', r'memory: "-5GiB"' + AMOUNT),
    ("[server.chat]", '[server."../x"]', r'"\.\./x"' + NO_NAME),
    ("[server.chat]", '[server.""]', '""' + NO_NAME),
    (PARALLEL, "parallel = 1 # \udcff", "Encountered invalid utf-8 sequence; write key = .*"),
    (PARALLEL, "parallel = 1 #" + "#" * (2 << 20), "the file is larger than 1 MiB; name a "
     "configuration, or write a shorter one"),
]
CONFIGURATIONS += [(PORT, f'{key} = "http://169.254.169.254/"',
                    rf'\[server\.chat\] has no key "{key}"; write .*')
                   for key in ("url", "upstream", "base_url", "api_base", "proxy", "host")]
