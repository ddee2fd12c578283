"""An aiosmtpd server for the tests: smtpd.py JSON. It prints its port, and ends when
its standard input does."""
import asyncio
import json
import ssl
import sys

from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

want = json.loads(sys.argv[1])


class Handler(Mailbox):
    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address in (want["refuse"] or []):
            return "550 5.1.1 secret-of-the-server: no such mailbox"
        if address in (want["defer"] or []):
            return "451 4.7.1 come again"
        envelope.rcpt_tos.append(address)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (want["user"].encode(), want["password"].encode())
    return AuthResult(success=good, handled=False)


context = None
if want.get("cert"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(want["cert"], want["key"])
options = {}
if want.get("user"):
    options = dict(authenticator=authenticate, auth_required=True, auth_require_tls=want["security"] == "starttls")
if want["security"] == "starttls":
    options.update(tls_context=context, require_starttls=True)


async def serve():
    loop = asyncio.get_running_loop()
    handler = Handler(want["dir"])
    server = await loop.create_server(lambda: SMTP(handler, hostname="127.0.0.1", loop=loop, **options), "127.0.0.1", 0,
                                      ssl=context if want["security"] == "tls" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


asyncio.run(serve())
