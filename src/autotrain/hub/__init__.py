"""The Hugging Face Hub: who asks, where results go, and how they get there."""
