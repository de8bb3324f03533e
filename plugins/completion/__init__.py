"""Completion plugins: who asks language models on behalf of reasoners and mutators. One folder each."""
