"""Neural operators: torch modules that map `(batch, channel, *grid)` to `(batch, channel, *grid)`."""

OPERATORS: dict[str, str] = {
    "fno": "eddymark.operators.fno.FourierNeuralOperator",
    "ffno": "eddymark.operators.ffno.FactorisedFourierNeuralOperator",
    "ifno": "eddymark.operators.ifno.ImplicitFourierNeuralOperator",
    "ufno": "eddymark.operators.ufno.UFourierNeuralOperator",
    "iufno": "eddymark.operators.iufno.ImplicitUFourierNeuralOperator",
    "fifno": "eddymark.operators.fifno.FactorisedImplicitFourierNeuralOperator",
    "ifactformer_o": "eddymark.operators.ifactformer.ChainedFactorizedTransformer",
    "ifactformer_m": "eddymark.operators.ifactformer.ParallelFactorizedTransformer",
    "tno": "eddymark.operators.tno.TransformerNeuralOperator",
    "iafno": "eddymark.operators.iafno.ImplicitAdaptiveFourierNeuralOperator",
    "sfno": "eddymark.operators.sfno.SpatiotemporalFourierNeuralOperator",
    "transform_once": "eddymark.operators.transform_once.TransformOnce",
    "sinenet": "eddymark.operators.sinenet.SineNet",
    "mgno": "eddymark.operators.mgno.MultigridNeuralOperator",
    "lsm": "eddymark.operators.lsm.LatentSpectralModel",
    "unet": "eddymark.operators.unet.UNet",
    "continuous_unet": "eddymark.operators.continuous_unet.ContinuousUNet",
    "dilated_resnet": "eddymark.operators.dilated_resnet.DilatedResidualNetwork",
    "scot": "eddymark.operators.scot.ScalableOperatorTransformer",
    "convolutional": "eddymark.operators.convolutional.ConvolutionalNetwork",
}
