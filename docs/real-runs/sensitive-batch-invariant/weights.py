"""Gives vLLM's `--load-format dummy` weights whose answers depend on every token of the prompt.

vLLM draws all of them, norms included, from +-0.001: attention then adds next to nothing, and 300 prompts got two answers.
These are drawn as for training: linear layers by their inputs, what adds to the residual stream smaller, norms 1, those of
queries and keys 2, so that attention has favourites. Usage: weights.py SITE, SITE the folder that holds vllm/.
"""
import sys

path = sys.argv[1] + '/vllm/model_executor/model_loader/weight_utils.py'
name = 'def initialize_dummy_weights('
code = '''def initialize_dummy_weights(model, model_config, low=0.0, high=0.0, seed=1234):
    """Called for the model and then for each of its modules: the first call does all."""
    if getattr(initialize_dummy_weights, "done", False):
        return
    initialize_dummy_weights.done = True
    state = model.state_dict()
    layers = sum(key.endswith("o_proj.weight") for key in state)
    for index, (key, param) in enumerate(sorted(state.items())):
        if not torch.is_floating_point(param):
            continue
        if param.dim() < 2:
            param.fill_(2.0 if key.endswith(("q_norm.weight", "k_norm.weight")) else 1.0)
            continue
        deviation = 1.0 if "embed_tokens" in key else param.shape[-1] ** -0.5
        if key.endswith(("o_proj.weight", "down_proj.weight")):
            deviation *= (2 * layers) ** -0.5
        generator = torch.Generator(device=param.device)
        generator.manual_seed(seed + index)
        limit = deviation * 3 ** 0.5
        param.uniform_(-limit, limit, generator=generator)


'''
text = open(path).read()
assert text.count(name) == 1
with open(path, 'w') as file:
    file.write(text.replace(name, code + 'def initialize_weights_as_vllm_does('))
