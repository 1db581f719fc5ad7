"""The anthropic package against a simulated vLLM, by hand:

    uv venv /tmp/anthropic && uv pip install --python /tmp/anthropic/bin/python anthropic
    npx lmcache-ci simulate vllm serve Qwen/Qwen3-14B --port 8000 --enable-auto-tool-choice --tool-call-parser hermes \\
        --enable-prompt-tokens-details &
    /tmp/anthropic/bin/python test/simulator/clients/anthropic_client.py http://127.0.0.1:8000
"""

import sys

from anthropic import Anthropic, BadRequestError, InternalServerError, NotFoundError

MODEL = "Qwen/Qwen3-14B"
client = Anthropic(base_url=sys.argv[1], api_key="unused", max_retries=0)
user = {"role": "user", "content": "hello there"}
brief = {"model": MODEL, "max_tokens": 12, "messages": [user], "extra_body": {"temperature": 0}}

whole = client.messages.create(**brief)
assert whole.stop_reason == "max_tokens" and whole.usage.output_tokens == 12
with client.messages.stream(**brief) as stream:
    text = "".join(stream.text_stream)
    final = stream.get_final_message()
assert text == whole.content[0].text == final.content[0].text
assert final.usage.output_tokens == 12

counted = client.messages.count_tokens(model=MODEL, messages=[user], system="Be brief.").input_tokens
told = client.messages.create(system="Be brief.", **brief).usage
assert told.input_tokens + told.cache_creation_input_tokens + told.cache_read_input_tokens == counted

schema = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
}
tools = [{"name": "get_weather", "description": "d", "input_schema": schema}]
for choice, reason in (("auto", "tool_use"), ("any", "tool_use"), ("tool", "end_turn")):
    named = {"name": "get_weather"} if choice == "tool" else {}
    asked = {"model": MODEL, "max_tokens": 500, "messages": [user], "tools": tools, "tool_choice": {"type": choice, **named}}
    called = client.messages.create(**asked)
    assert called.stop_reason == reason, (choice, called.stop_reason)
    use = called.content[-1]
    assert use.type == "tool_use" and set(use.input) >= {"city", "days"}
    with client.messages.stream(**asked) as stream:
        assert stream.get_final_message().content[-1].name == "get_weather"
result = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "rain"}]}
turns = [user, {"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
after = client.messages.create(model=MODEL, max_tokens=500, messages=turns, tools=tools)
assert [block.type for block in after.content] == ["text"]

word = whole.content[0].text.split()[2]
stopped = client.messages.create(stop_sequences=[word], **brief)
assert word not in stopped.content[0].text and stopped.stop_reason == "end_turn"

for wanted, arguments in (
    (NotFoundError, {**brief, "model": "nobody/x"}),
    (BadRequestError, {**brief, "max_tokens": 0}),
    (InternalServerError, {**brief, "extra_body": {"temperature": -1}}),
):
    try:
        client.messages.create(**arguments)
    except wanted:
        continue
    raise AssertionError(f"{arguments} was not refused as {wanted.__name__}")

print("anthropic: messages, stream, system, counting, tools, stop sequences, errors: as with the real server")
