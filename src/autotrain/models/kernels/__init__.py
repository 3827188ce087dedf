"""Elementwise work of a training step in C++, built at first use; `ops` is what others call.

Every op has a plain twin in torch, which takes over where there is no compiler.  Legend: N tokens, H hidden size, I width
of the feed-forward layer, D head size, B blocks of attention (heads, documents), L queries, C keys, M targets, V vocabulary.
"""
