"""An OAuth 2.0 authorization server of the tests' own, made of Authlib's parts.

Called with a directory, into which it writes its clients' keys, and perhaps a certificate and its key. Prints its port
in a line and serves on 127.0.0.1 until it is killed. What it grants and checks is Authlib's; here are its clients, its
memory, and a page that tells what was asked of it.
"""

import datetime
import hashlib
import base64
import json
import os
import pathlib
import sys
import time

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

from authlib.common.security import generate_token
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, InvalidClientError, InvalidGrantError, TokenMixin, grants
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion, JWTBearerGrant
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flask import Flask, jsonify, request
from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey
from werkzeug.serving import make_server

MAILBOX = "noreply@example.com"
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ALGORITHMS = ["RS256", "PS256", "ES256"]


class Client(ClientMixin):
    def __init__(self, name, grant, method, secret=None, key=None, thumbprint=None, token_length=42):
        self.client_id, self.grant, self.method, self.secret = name, grant, method, secret
        self.key, self.thumbprint, self.token_length = key, thumbprint, token_length

    def get_client_id(self):
        return self.client_id

    def get_allowed_scope(self, scope):
        return scope or "smtp"

    def check_client_secret(self, secret):
        return self.secret == secret

    def check_endpoint_auth_method(self, method, endpoint):
        return endpoint == "introspection" or method == self.method

    def check_grant_type(self, grant_type):
        return grant_type == self.grant


class Token(TokenMixin):
    def __init__(self, token, client, user):
        self.access, self.client, self.user = token["access_token"], client, user
        self.refresh, self.scope = token.get("refresh_token"), token.get("scope", "")
        self.expires_at = time.time() + token["expires_in"]
        self.revoked = self.used = False

    def check_client(self, client):
        return client is self.client

    def get_scope(self):
        return self.scope

    def is_expired(self):
        return time.time() >= self.expires_at

    def is_revoked(self):
        return self.revoked


class User:
    def __init__(self, name):
        self.name = name


def pem(key):
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def certificate_of(key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mailfactor")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return builder.sign(key, hashes.SHA256())


folder = pathlib.Path(sys.argv[1])
rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ec_key = ec.generate_private_key(ec.SECP256R1())
certificate = certificate_of(rsa_key)
digest = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()
thumbprint = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
(folder / "rsa.pem").write_bytes(pem(rsa_key))
(folder / "certificate.pem").write_bytes(pem(rsa_key) + certificate.public_bytes(serialization.Encoding.PEM))
(folder / "ec.pem").write_bytes(pem(ec_key))
service = {"type": "service_account", "private_key_id": "key-7", "private_key": pem(rsa_key).decode(), "client_email": "service@project.example"}
(folder / "service.json").write_text(json.dumps(service))

rsa_public, ec_public = RSAKey.import_key(pem(rsa_key)), ECKey.import_key(pem(ec_key))
credentials, jwt_method = "client_credentials", JWTBearerClientAssertion.CLIENT_AUTH_METHOD
clients = [
    # Tokens as long as Microsoft's.
    Client("post", credentials, "client_secret_post", "p&=+ %-secret-1", token_length=1500),
    # Authlib reads a secret by HTTP Basic as it stands, which RFC 6749 would have decoded first: none that it changes.
    Client("basic", credentials, "client_secret_basic", "basic-secret-2~._"),
    Client("rsa", credentials, jwt_method, key=rsa_public),
    Client("ec", credentials, jwt_method, key=ec_public),
    Client("certificate", credentials, jwt_method, key=rsa_public, thumbprint=thumbprint),
    Client("public", "refresh_token", "none"),
    Client("service@project.example", BEARER, "none", key=rsa_public),
    Client("introspector", "none", "client_secret_basic", "introspector-secret-3"),
]
clients = {client.client_id: client for client in clients}
tokens, asked, assertions = [], [], set()
life = {"expires_in": 3600}


def save(token, made):
    tokens.append(Token(token, made.client, made.user or User(MAILBOX)))


class Assertion(JWTBearerClientAssertion):
    def get_audiences(self):
        return [request.base_url]

    def resolve_client_public_key(self, client):
        return client.key

    def validate_jti(self, claims, jti):
        fresh = jti not in assertions
        assertions.add(jti)
        return fresh

    def process_assertion_claims(self, assertion, key):
        # Authlib takes no PS256 of itself, and looks at no certificate.
        client = self_client(assertion)
        header = jws.extract_compact(assertion.encode()).headers()
        if client.thumbprint and (header.get("x5t#S256") != client.thumbprint or header["alg"] != "PS256"):
            raise InvalidClientError(description="The certificate is not the client's.")
        try:
            token = jwt.decode(assertion, key, algorithms=ALGORITHMS)
        except Exception as error:
            raise InvalidClientError(description="The signature is wrong.") from error
        self.verify_claims(token.claims)
        return token.claims


def self_client(assertion):
    payload = json.loads(jws.extract_compact(assertion.encode()).payload)
    return clients[payload["sub"]]


class ClientCredentials(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post", "client_secret_basic", jwt_method]


class Refresh(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["none"]
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, text):
        found = next((token for token in tokens if token.refresh == text), None)
        if found is None:
            return None
        if found.used:
            # Seen twice, it was stolen: whoever holds its descendants has them no longer.
            for token in tokens:
                token.used = token.used or token.client is found.client
            raise InvalidGrantError(description="The refresh token was used before.")
        return found

    def authenticate_user(self, token):
        return token.user

    def revoke_old_credential(self, token):
        token.used = True


class ServiceAccount(JWTBearerGrant):
    def get_audiences(self):
        return [request.base_url]

    def resolve_issuer_client(self, issuer):
        return clients.get(issuer)

    def resolve_client_public_key(self, client):
        return client.key

    def authenticate_user(self, subject):
        return User(subject) if subject == MAILBOX else None

    def has_granted_permission(self, client, user):
        return True


class Introspection(IntrospectionEndpoint):
    CLIENT_AUTH_METHODS = ["client_secret_basic"]

    def check_permission(self, token, client, made):
        return client.client_id == "introspector"

    def query_token(self, text, hint):
        return next((token for token in tokens if token.access == text), None)

    def introspect_token(self, token):
        return {"active": True, "client_id": token.client.client_id, "username": token.user.name, "scope": token.scope}


app = Flask(__name__)
app.config["OAUTH2_ACCESS_TOKEN_GENERATOR"] = lambda client, **_: generate_token(client.token_length)
app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
server = AuthorizationServer(app, query_client=clients.get, save_token=save)
server.register_client_auth_method(jwt_method, Assertion())
for grant in (ClientCredentials, Refresh, ServiceAccount):
    server.register_grant(grant)
server.register_token_generator(
    "default", lambda *args, **named: {**plain(*args, **named), "expires_in": life["expires_in"]}
)
plain = server.create_bearer_token_generator(app.config)
server.register_endpoint(Introspection)


@app.post("/token")
def token():
    answer = server.create_token_response()
    form = {name: value for name, value in request.form.items() if name in ("grant_type", "scope", "client_id")}
    basic = request.authorization is not None
    asked.append({**form, "basic": basic, "status": answer.status_code})
    return answer


@app.post("/introspect")
def introspect():
    return server.create_endpoint_response(Introspection.ENDPOINT_NAME)


@app.get("/asked")
def tell():
    return jsonify(asked)


@app.get("/revoke")
def revoke():
    for known in tokens:
        known.revoked = True
    return jsonify(len(tokens))


@app.get("/life/<int:seconds>")
def set_life(seconds):
    life["expires_in"] = seconds
    return jsonify(seconds)


consented = {"access_token": generate_token(42), "refresh_token": "refresh-token-1", "expires_in": 0, "scope": "smtp"}
tokens.append(Token(consented, clients["public"], User(MAILBOX)))
context = tuple(sys.argv[2:4]) or None
listener = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=context)
print(listener.server_port, flush=True)
listener.serve_forever()
