"""Attention and elementwise work of a training step in C++, built at first use; `ops` is what others call.

Every op has a plain twin in torch, which takes over where there is no compiler.  Legend: N tokens, H hidden size, I width
of the feed-forward layer, Q and K heads of queries and of keys, D head size (E of values), L queries and C keys of a block
of attention, M targets, V vocabulary.
"""
