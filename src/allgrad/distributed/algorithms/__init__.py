"""Ways of training over ranks that go beyond the plain mean of gradients."""
