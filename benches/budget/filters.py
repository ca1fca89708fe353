"""What each feature adds to a request: the same load with and without it."""

import re

from .callgrind import count_all
from .load import Load

POLICY = 'policy = "least_conn"'
ENDPOINTS = 'endpoints = ["127.0.0.1:9001", "127.0.0.1:9002"]'
UPSTREAM = "[upstream.backend]\n"
BASE = "base"
LIMIT = 'limit = "api"\n'
LOG = '[access_log]\noutput = "access-tidegate.log"\nformat = "combined"\n'
SET = "response_headers = { set = { %s } }" % ", ".join(f'X-Added-{number} = "value"' for number in range(5))


def policy(text):
    return [(POLICY, text)]


def upstream(text):
    return [(UPSTREAM, UPSTREAM + text + "\n")]


def route(text):
    return [('upstream = "backend"\nlimit', f'upstream = "backend"\n{text}\nlimit')]


TLS = '\n[upstream.backend.tls]\nca = "cert.pem"\nserver_name = "localhost"\n'

# Words, changes to tidegate.toml, what the endpoints speak. What is off here is on in tidegate.toml: it adds less than 0.
FILTERS = (
    ("without the limit", [(LIMIT, "")], "http"),
    ("without the access log", [(LOG, ""), ("workers = 1", "workers = 1\naccess_log = false")], "http"),
    ("access log as JSON", [('"combined"', '"json"')], "http"),
    ('without `security_headers = "guide"`', [('security_headers = "guide"\n', "")], "http"),
    ('`security_headers = "strict"`', [('security_headers = "guide"', 'security_headers = "strict"')], "http"),
    ("five `response_headers` that are set", route(SET), "http"),
    (
        "a route by two header fields and a method",
        route('methods = ["GET"]\nheaders = { Accept = true, User-Agent = "budget/1" }'),
        "http",
    ),
    ("`trusted_proxies`, the client not among them", [("workers = 1", 'workers = 1\ntrusted_proxies = ["10.0.0.0/8"]')], "http"),
    ('`policy = "round_robin"`', policy('policy = "round_robin"'), "http"),
    ('`policy = "random"`', policy('policy = "random"'), "http"),
    ('`policy = "least_time"`', policy('policy = "least_time"'), "http"),
    ('`policy = "ip_hash"`', policy('policy = "ip_hash"'), "http"),
    ('`policy = "hash"`, of the URI', policy('policy = "hash"\nhash = "uri"'), "http"),
    (
        '`policy = "hash"`, of the client, bounded load',
        policy('policy = "hash"\nhash = { key = "client_ip", balance_factor = 1.25 }'),
        "http",
    ),
    ("`slow_start`, no endpoint on its way back", upstream('slow_start = "30s"'), "http"),
    (
        "`sticky`, each response sets the cookie",
        upstream('sticky = { cookie = "route", secret = "only for counting, thirty-two bytes" }'),
        "http",
    ),
    ("`max_conns` of each endpoint", [(ENDPOINTS, re.sub(r'"(\S+?)"', r'{ address = "\1", max_conns = 100 }', ENDPOINTS))], "http"),
    ("endpoints at Unix sockets", [], "unix"),
    ('`proxy_protocol = "v1"` towards endpoints', upstream('proxy_protocol = "v1"'), "proxy"),
    ("TLS towards endpoints", [(ENDPOINTS, ENDPOINTS + "\n" + TLS)], "tls"),
    ('`protocol = "h2c"`', upstream('protocol = "h2c"'), "h2c"),
    ('`protocol = "h2"`', [*upstream('protocol = "h2"'), (ENDPOINTS, ENDPOINTS + "\n" + TLS)], "h2"),
)

BEGIN, END = "<!-- filters: made by make filters -->\n", "<!-- end of filters -->\n"


def tell(program, page):
    """Counts each, and writes the table into the page."""
    loads = {BASE: Load()} | {words: Load(changes=changes, origin=origin) for words, changes, origin in FILTERS}
    counted = {}
    for words, instructions in count_all(program, loads):
        counted[words] = instructions
        print(f"{instructions:7} {instructions - counted[BASE]:+6}  {words}", flush=True)
    rows = [f"| {words} | {counted[words] - counted[BASE]:+,} |" for words, _, _ in FILTERS]
    table = "\n".join([f"| feature | beside {counted[BASE]:,} |", "|---|---:|", *rows])
    before, rest = page.read_text().split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{table}\n\n{END}{rest.split(END)[1]}")
