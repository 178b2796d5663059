"""Tasks join data, network, loss and inference: each is a loss for the engine and a prediction."""
