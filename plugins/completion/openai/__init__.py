"""Asks any endpoint that speaks OpenAI's `/chat/completions`: OpenAI, Azure, vLLM, Ollama, llama.cpp, DeepSeek,
OpenRouter, LiteLLM, …

The reply's shape is asked for as strictly as the endpoint can: an enforced JSON schema, any JSON object with the schema
in words, words alone. What it refuses (a schema, a temperature, `max_tokens`, streaming, a system message) is left out
of the next try and of every later one; what is known beforehand is data in quirks.toml. Limits of rate, broken
connections and silence are waited out; how many calls are made at once adapts to what the endpoint bears.

Keys of `[openai]`, with their defaults:

    base_url        where requests go, up to /chat/completions; "": the variable OPENAI_BASE_URL, else api.openai.com
    key_variable    name of the variable (or line of the secrets file) that holds the key: "OPENAI_API_KEY"; "": no key
    api_version     Azure's api-version; "": what is known to work
    headers         more headers; a value "$NAME" is taken from that variable: {}
    mode            "schema", "json", "text": how to ask for shapes; "auto" finds out
    streaming       read replies as they are written: true
    concurrency     calls to this endpoint at once, at most: 8 (a "too many" halves it, successes let it grow)
    tries           requests per call, at most, those that teach what to leave out not counted: 6
    backoff         seconds before the second try, twice as long before each further one: 1.0
    connect         seconds to wait for a connection: 10
    first_token     seconds to wait for the first token of a stream: 300
    between_tokens  seconds of silence allowed in the middle of a stream: 120
    total           seconds for a call with all its tries: 1800
    largest         characters of a reply; what is longer is cut, as if by max_tokens: 400000

Models, prices, effort, temperature, seed and room for the reply are settings of `[completion]`, for any plugin alike.
"""

from __future__ import annotations

from gome.events import CompletionRequested, Event
from gome.kernel.plugin import Context, Effect, Plugin, Result
from gome.plugins.completion.openai.settings import Settings


async def perform(event: Event, ctx: Context) -> Result:
    """Complete; HTTP is imported on first use."""
    from gome.plugins.completion.openai.calling import complete

    return await complete(event, ctx)


plugin = Plugin(
    name="openai",
    role="completion",
    summary="any endpoint that speaks OpenAI's chat completions, with schemas, streaming, retries and accounts",
    effects=(Effect(CompletionRequested),),
    perform=perform,
    settings=Settings,
    default=True,
    modules=("gome.plugins.completion.openai",),
)
"""What the entry point names."""
