"""LangChain's messages as memory items; imported only where ``langchain-core`` is installed."""

from __future__ import annotations

from items import Json, text
from langchain_core.messages import AIMessage

from checkpoint import AgentState, Memory

__all__ = ["AIMessage", "LangChainAgent", "ai_message"]


class LangChainAgent(AgentState, schema="by-hand-langchain", version=1):
    """An agent that keeps the answers of a model as LangChain gives them."""

    memory: Memory[AIMessage] = Memory()
    cursors: dict[str, int] = {}


def ai_message(number: int) -> Json:
    """The fields of an answer, with a tool call in every other one."""
    call = {"name": "find_orders", "args": {"order": f"#{number}"}, "id": f"call_{number}"}
    return {
        "content": text(number),
        "id": f"run-{number}",
        "tool_calls": [{**call, "type": "tool_call"}] if number % 2 else [],
        "response_metadata": {"model_name": "a-model", "finish_reason": "stop"},
        "usage_metadata": {"input_tokens": 900, "output_tokens": 90, "total_tokens": 990},
    }
