import pytest
import torch
from sklearn.linear_model import Ridge

from diva_benchmarks.miniworld.probes import PENALTY, probe_accuracies


@pytest.mark.parametrize("width", [5, 120])
def test_a_probe_equals_scikit_learns_ridge_on_standardised_features(width: int) -> None:
    random = torch.Generator().manual_seed(width)
    features = torch.randn(140, width, generator=random) * torch.linspace(0.1, 3, width) + 1
    noisy = features[:, :3] + 0.5 * torch.randn(140, 3, generator=random)
    labels = torch.stack([noisy.argmax(1), (noisy[:, 0] > 1).long()], 1)
    train, test = features[:80], features[80:]
    standard = ((part - train.mean(0)) / train.std(0) for part in (train, test))
    x, y = (part.double().numpy() for part in standard)
    found = probe_accuracies(train, labels[:80], test, labels[80:])
    for detail, accuracy in enumerate(found):
        one_hot = torch.nn.functional.one_hot(labels[:80, detail]).numpy()
        expected = Ridge(alpha=PENALTY * 80).fit(x, one_hot).predict(y)
        right = (torch.from_numpy(expected).argmax(1) == labels[80:, detail]).double().mean().item()
        assert accuracy == pytest.approx(100 * right, abs=1e-9)
    assert len(found) == 2


def test_a_constant_feature_carries_nothing_and_does_no_harm() -> None:
    labels = (torch.arange(60) % 2).unsqueeze(1)
    features = torch.cat([labels.float() * 4 - 2, torch.ones(60, 1)], 1)
    assert probe_accuracies(features, labels, features, labels) == [100]
    assert probe_accuracies(features[:, 1:], labels, features[:, 1:], labels) == [50]
