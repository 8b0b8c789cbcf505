"""Frameworks that applications are built on talk to a node unchanged: litellm and langchain."""

import langchain_openai
import litellm
import pydantic
import pytest

from canary import WORD

CHAT = "smollm2-135m"
HI = [{"role": "user", "content": "Name one colour."}]


class Verdict(pydantic.BaseModel):
    """Whether it rains."""

    raining: bool


@pytest.fixture(scope="module")
def url(munich_alone):
    return f"{munich_alone.url}/v1"


@pytest.fixture(scope="module")
def chain(url):
    return langchain_openai.ChatOpenAI(
        model=CHAT, base_url=url, api_key="none", max_tokens=32, temperature=0, max_retries=0
    )


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm"])
def test_litellm_asks_streams_and_counts(url, provider):
    asked = dict(model=f"{provider}/{CHAT}", api_base=url, api_key="none", messages=HI, max_tokens=12, temperature=0, stop=[WORD])
    whole = litellm.completion(**asked)
    assert whole.choices[0].message.content and whole.usage.completion_tokens <= 12
    parts = list(litellm.completion(**asked, stream=True))
    assert "".join(part.choices[0].delta.content or "" for part in parts) == whole.choices[0].message.content
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(**{**asked, "model": f"{provider}/none"})


def test_litellm_makes_vectors(url):
    made = litellm.embedding(model=f"openai/{CHAT}", api_base=url, api_key="none", input=["a", "b"])
    assert len(made.data) == 2 and len(made.data[0]["embedding"]) == 576


def test_litellm_speaks_ollama(munich_alone):
    asked = dict(model=f"ollama_chat/{CHAT}", api_base=munich_alone.url, messages=HI, max_tokens=12, temperature=0, stop=[WORD])
    whole = litellm.completion(**asked)
    assert whole.choices[0].message.content and whole.usage.prompt_tokens > 0
    parts = list(litellm.completion(**asked, stream=True))
    assert "".join(part.choices[0].delta.content or "" for part in parts) == whole.choices[0].message.content


def test_langchain_invokes_streams_and_batches(chain):
    whole = chain.invoke("Name one colour.")
    assert whole.content and whole.usage_metadata["output_tokens"] <= 32
    assert "".join(part.content for part in chain.stream("Name one colour.")) == whole.content
    assert [bool(answer.content) for answer in chain.batch(["Name one colour."] * 3)] == [True] * 3


def test_langchain_gets_objects(chain):
    assert isinstance(chain.with_structured_output(Verdict).invoke("It pours."), Verdict)
    called = chain.with_structured_output(Verdict, method="function_calling").invoke("It pours.")
    assert isinstance(called, Verdict)


def test_langchain_speaks_responses(url):
    chain = langchain_openai.ChatOpenAI(
        model=CHAT, base_url=url, api_key="none", max_tokens=16, temperature=0, use_responses_api=True
    )
    whole = chain.invoke("Name one colour.")
    assert whole.text and whole.usage_metadata["input_tokens"] > 0
    assert "".join(part.text for part in chain.stream("Name one colour.")) == whole.text


def test_langchain_completes_texts_and_makes_vectors(url):
    texts = langchain_openai.OpenAI(model=CHAT, base_url=url, api_key="none", max_tokens=4, temperature=0)
    made = texts.generate(["Once upon a", "The sky is"])
    assert [len(choices) for choices in made.generations] == [1, 1] and made.generations[0][0].text
    vectors = langchain_openai.OpenAIEmbeddings(
        model=CHAT, base_url=url, api_key="none", check_embedding_ctx_length=False
    )
    assert len(vectors.embed_documents(["a", "b"])) == 2 and len(vectors.embed_query("a")) == 576
