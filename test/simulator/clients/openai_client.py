"""The openai package against a simulated vLLM, by hand:

    uv venv /tmp/openai && uv pip install --python /tmp/openai/bin/python openai
    npx lmcache-ci simulate vllm serve Qwen/Qwen3-14B --port 8000 --enable-auto-tool-choice --tool-call-parser hermes &
    /tmp/openai/bin/python test/simulator/clients/openai_client.py http://127.0.0.1:8000/v1
"""

import json
import sys
from typing import Literal

from openai import BadRequestError, NotFoundError, OpenAI
from pydantic import BaseModel

MODEL = "Qwen/Qwen3-14B"
client = OpenAI(base_url=sys.argv[1], api_key="unused")
messages = [{"role": "user", "content": "hello there"}]

assert [model.id for model in client.models.list()] == [MODEL]

whole = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=12, temperature=0)
assert whole.choices[0].finish_reason == "length"
assert whole.usage.completion_tokens == 12

text, usage = "", None
options = {"include_usage": True}
for event in client.chat.completions.create(
    model=MODEL, messages=messages, max_tokens=12, temperature=0, stream=True, stream_options=options
):
    usage = event.usage or usage
    text += "".join(choice.delta.content or "" for choice in event.choices)
assert text == whole.choices[0].message.content
assert usage.completion_tokens == 12

several = client.completions.create(model=MODEL, prompt=["a b", "c d"], max_tokens=4, n=2)
assert [choice.index for choice in several.choices] == [0, 1, 2, 3]

class Weather(BaseModel):
    city: str
    unit: Literal["c", "f"]
    days: list[int]


parsed = client.chat.completions.parse(model=MODEL, messages=messages, response_format=Weather)
assert isinstance(parsed.choices[0].message.parsed, Weather)

tool = {"type": "function", "function": {"name": "get_weather", "parameters": Weather.model_json_schema()}}
named = {"type": "function", "function": {"name": "get_weather"}}
for choice, reason in (("auto", "tool_calls"), ("required", "tool_calls"), (named, "stop")):
    called = client.chat.completions.create(
        model=MODEL, messages=messages, tools=[tool], tool_choice=choice, temperature=0
    ).choices[0]
    assert called.finish_reason == reason
    arguments = called.message.tool_calls[0].function.arguments
    Weather.model_validate(json.loads(arguments))
    pieces = [
        call.function.arguments
        for event in client.chat.completions.create(
            model=MODEL, messages=messages, tools=[tool], tool_choice=choice, temperature=0, stream=True
        )
        for call in event.choices[0].delta.tool_calls or []
    ]
    assert len(pieces) > 1 and "".join(pieces) == arguments

image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]
for wanted, arguments in (
    (BadRequestError, {"model": MODEL, "messages": [{"role": "user", "content": image}]}),
    (NotFoundError, {"model": "nobody/x", "messages": messages}),
    (BadRequestError, {"model": MODEL, "messages": messages, "max_tokens": -1}),
):
    try:
        client.chat.completions.create(**arguments)
    except wanted:
        continue
    raise AssertionError(f"{arguments} was not refused as {wanted.__name__}")

print("openai: models, chat, stream, usage, n, schemas, tools, errors: as with the real server")
