"""Neural operators: torch modules that map `(batch, channel, *grid)` to `(batch, channel, *grid)`."""

OPERATORS: dict[str, str] = {
    "fno": "eddymark.operators.fno.FourierNeuralOperator",
    "convolutional": "eddymark.operators.convolutional.ConvolutionalNetwork",
}
