"""The API edge: the one room that knows FastAPI, Starlette and the Prometheus client.

    app = create_app(Parts(reads, writes, control, clock))     service/api/parts.py says what each part has to do

create.py     the application and its description
envelope.py   what surrounds every request: ids, headers, the gate, bodies
values.py     bounded types of parameters, cursors, scopes
schemas.py    what goes in and out
problem.py    every error as problem+json
once.py       Idempotency-Key
hosts.py applies.py records.py access.py receivers.py health.py     the routes, by noun
metrics.py    numbers for Prometheus
"""
