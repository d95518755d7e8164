"""A foreign client: grpcio, generated from the protocol by grpcio-tools.

Starts a challenge, watches it until its mail is sent, submits a wrong code, a malformed one and the right one, then
reads the rich error of an unknown challenge. The code comes from whoever runs this: asked for on standard output as
`CODE? <challenge id>`, answered on standard input.

Arguments: the directory of the generated code, the server as host:port, an API key, a user's name.
"""

import sys

directory, server, key, user = sys.argv[1:]
sys.path.insert(0, directory)

import grpc  # noqa: E402
from google.rpc import error_details_pb2  # noqa: E402
from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: E402
from grpc_status import rpc_status  # noqa: E402
from mailfactor.v1 import authenticator_pb2 as pb  # noqa: E402
from mailfactor.v1 import authenticator_pb2_grpc  # noqa: E402

DEADLINE = 30
METADATA = [("authorization", f"Bearer {key}")]


def details(error, kind):
    """The detail of this kind that a failed call carries."""
    for packed in rpc_status.from_call(error).details:
        detail = kind()
        if packed.Unpack(detail):
            return detail
    raise AssertionError(f"no {kind.__name__} in {error}")


def refused(call, code, reason):
    """Makes a call that must fail with this code and reason; gives the error."""
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() is code, error
        info = details(error, error_details_pb2.ErrorInfo)
        assert info.reason == reason and info.domain == "mailfactor", info
        return error
    raise AssertionError(f"{reason} expected, the call went through")


with grpc.insecure_channel(server) as channel:
    health = health_pb2_grpc.HealthStub(channel)
    answer = health.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING, answer

    stub = authenticator_pb2_grpc.EmailOtpAuthenticatorStub(channel)

    def call(method, request):
        return getattr(stub, method)(request, timeout=DEADLINE, metadata=METADATA)

    challenge = call("StartChallenge", pb.StartChallengeRequest(user=user)).challenge
    assert challenge.state == pb.CHALLENGE_STATE_PENDING, challenge
    assert "@" in challenge.masked_recipient and "*" in challenge.masked_recipient, challenge
    name = challenge.challenge_id

    watch = call("WatchChallenge", pb.WatchChallengeRequest(challenge_id=name))
    for update in watch:
        if update.challenge.delivery == pb.DELIVERY_STATE_SENT:
            break
    else:
        raise AssertionError("the stream ended before the mail was sent")

    print(f"CODE? {name}", flush=True)
    code = sys.stdin.readline().strip()
    wrong = f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"

    verdict = call("VerifyCode", pb.VerifyCodeRequest(challenge_id=name, code=wrong))
    assert verdict.result == pb.VERIFY_RESULT_WRONG_CODE, verdict
    assert verdict.attempts_left == 4, verdict

    error = refused(
        lambda: call("VerifyCode", pb.VerifyCodeRequest(challenge_id=name, code="no code")),
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELD",
    )
    fields = [violation.field for violation in details(error, error_details_pb2.BadRequest).field_violations]
    assert fields == ["code"], fields

    verdict = call("VerifyCode", pb.VerifyCodeRequest(challenge_id=name, code=code))
    assert verdict.result == pb.VERIFY_RESULT_VERIFIED, verdict
    verdict = call("VerifyCode", pb.VerifyCodeRequest(challenge_id=name, code=code))
    assert verdict.result == pb.VERIFY_RESULT_ALREADY_USED, verdict

    last = None
    for update in watch:
        last = update.challenge
    assert last is not None and last.state == pb.CHALLENGE_STATE_VERIFIED, last

    refused(
        lambda: call("GetChallenge", pb.GetChallengeRequest(challenge_id="A" * 22)),
        grpc.StatusCode.NOT_FOUND,
        "CHALLENGE_UNKNOWN",
    )
    refused(
        lambda: stub.GetChallenge(pb.GetChallengeRequest(challenge_id=name), timeout=DEADLINE),
        grpc.StatusCode.UNAUTHENTICATED,
        "CALLER_UNKNOWN",
    )

print("OK")
