"""The openai package against a simulated vLLM, by hand:

    uv venv /tmp/openai && uv pip install --python /tmp/openai/bin/python openai
    VLLM_ENABLE_RESPONSES_API_STORE=1 npx lmcache-ci simulate vllm serve Qwen/Qwen3-14B --port 8000 \\
        --enable-auto-tool-choice --tool-call-parser hermes &
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
        if call.function.arguments
    ]
    assert len(pieces) > 1 and "".join(pieces) == arguments

brief = {"model": MODEL, "max_output_tokens": 12, "temperature": 0}
response = client.responses.create(input="hello there", **brief)
assert response.status == "incomplete" and response.usage.output_tokens == 12
assert client.responses.retrieve(response.id).output_text == response.output_text
with client.responses.stream(input="hello there", **brief) as stream:
    events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert stream.get_final_response().output_text == response.output_text
followed = client.responses.create(input="and?", previous_response_id=response.id, **brief)
assert followed.usage.input_tokens > response.usage.input_tokens + 12
parsed = client.responses.parse(model=MODEL, input="hello there", text_format=Weather)
assert isinstance(parsed.output_parsed, Weather)
function = {"type": "function", "name": "get_weather", "parameters": Weather.model_json_schema(), "strict": True}
called = client.responses.create(model=MODEL, input="hello there", tools=[function]).output[0]
Weather.model_validate(json.loads(called.arguments))
result = {"type": "function_call_output", "call_id": called.call_id, "output": "rain"}
told = [{"role": "user", "content": "hello there"}, called.to_dict(), result]
assert client.responses.create(input=told, tools=[function], **brief).output_text
background = client.responses.create(model=MODEL, input="x", background=True, max_output_tokens=20000)
assert client.responses.cancel(background.id).status == "cancelled"

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

print("openai: models, chat, stream, usage, n, schemas, tools, responses, errors: as with the real server")
