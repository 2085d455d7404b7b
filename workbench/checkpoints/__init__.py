"""What other people's files hold: weights, tokenizers, chat templates, image processors, adapters."""
