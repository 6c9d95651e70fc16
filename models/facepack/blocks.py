"""The two convolution blocks that all three networks are made of.

Plain 3 x 3 convolutions rather than depthwise ones: on the CPUs this pack is trained and run on they give three times
the multiplications per second, and bf16 kernels exist for them.
"""

from torch import Tensor, nn


def conv_bn(width_in: int, width_out: int, kernel: int = 3, stride: int = 1, act: bool = True) -> nn.Sequential:
    """Convolution, batch norm and (unless ``act`` is False) ReLU; [B,Cin,H,W] -> [B,Cout,ceil(H/s),ceil(W/s)]."""
    layers: list[nn.Module] = [
        nn.Conv2d(width_in, width_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(width_out),
    ]
    if act:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class Residual(nn.Module):
    """Two 3 x 3 convolutions round an identity path (He et al. 2016); shape is kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv_bn(width, width)
        self.second = conv_bn(width, width, act=False)
        # Starts as the identity: deeper nets then train as easily as shallow ones.
        last = self.second[1]
        assert isinstance(last, nn.BatchNorm2d)
        nn.init.zeros_(last.weight)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.second(self.first(x)))
