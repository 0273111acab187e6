"""Restore a noisy photo with a network of a dozen lines, and see what its skip connections are worth.

    python examples/restore_photo.py --output restored      or, wherever skipseq is installed: skipseq demo

The network learns on other photos, and never sees the one that it restores. The same layers are trained again with the
skips taken out, and two methods that need no training are tried, with their settings tuned on the very photo.
All photos come with scikit-image. It takes about a minute on two cores, and gives the same numbers every time.
"""

import argparse
import copy
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle
from torch import Tensor, nn
from tqdm import tqdm

from skipseq import Sequential, add, save

RESTORED = "chelsea"
TRAINING = ("astronaut", "camera", "coffee", "coins", "hubble_deep_field", "immunohistochemistry")
TRAINING += ("moon", "retina", "rocket", "stereo_motorcycle")
SIGMA = 25 / 255  # the noise: about 20 dB, as in far too little light
DETAIL = (150, 75, 262, 125)  # left, top, right and bottom of what is shown four times larger


def build_network() -> Sequential:
    """Return a small U-Net: down to a quarter of the size and up again, with a skip at each size."""
    return Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), save("full"),
        nn.Conv2d(32, 64, 2, stride=2), nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), save("half"),
        nn.Conv2d(64, 128, 2, stride=2), nn.ReLU(),
        nn.Conv2d(128, 128, 3, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 2, stride=2), add("half"),
        nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 2, stride=2), add("full"),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 3, 3, padding=1), add("input"),  # the layers learn the noise, to be taken away
    )  # fmt: skip


def without_skips(network: Sequential) -> nn.Sequential:
    """Return the same layers with the same weights and none of the words: layers have numbers as keys, words do not."""
    return copy.deepcopy(nn.Sequential(*(part for key, part in network.named_children() if key.isdigit())))


def load_photo(name: str) -> Tensor:
    """Return a photo of scikit-image as (3, height, width), values from 0 to 1."""
    photo = getattr(data, name)()
    photo = np.atleast_3d(photo[0] if isinstance(photo, tuple) else photo)  # of a stereo pair, the left one
    height, width = (size // 4 * 4 for size in photo.shape[:2])  # the network halves twice
    return torch.from_numpy(photo[:height, :width]).permute(2, 0, 1).expand(3, -1, -1).float() / 255


def add_noise(clean: Tensor, generator: torch.Generator) -> Tensor:
    """Return the photos with Gaussian noise."""
    return clean + SIGMA * torch.randn(clean.shape, generator=generator)


def draw_crop(photos: list[Tensor], generator: torch.Generator, size: int = 64) -> Tensor:
    """Return a random square out of a random photo, turned and mirrored at random."""
    i, top, left, turns = torch.randint(2**31, (4,), generator=generator).tolist()
    photo = photos[i % len(photos)]
    top, left = top % (photo.shape[1] - size), left % (photo.shape[2] - size)
    crop = photo[:, top : top + size, left : left + size].rot90(turns % 4, (1, 2))
    return crop.flip(2) if turns % 8 > 3 else crop


def train(network: nn.Module, photos: list[Tensor], rate: float, steps: int, seed: int, label: str) -> None:
    """Train the network to undo noise. A fixed number of steps, not of seconds: the result can be repeated."""
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps)
    for _ in tqdm(range(steps), desc=f"training {label}", mininterval=0.5):
        clean = torch.stack([draw_crop(photos, generator) for _ in range(4)])
        noisy = add_noise(clean, generator).contiguous(memory_format=torch.channels_last)
        loss = nn.functional.mse_loss(network(noisy.to(device)), clean.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def psnr(photo: Tensor, clean: Tensor) -> float:
    """Return the peak signal-to-noise ratio in decibels: 3 more is half the squared error."""
    return -10 * torch.log10((photo - clean).square().mean()).item()


def classical_methods(noisy: Tensor, clean: Tensor) -> dict[str, Tensor]:
    """Return what needs no training, each with the setting that comes closest to the clean photo."""
    image = noisy.permute(1, 2, 0).numpy()
    nlm = partial(denoise_nl_means, image, 5, 6, sigma=SIGMA, fast_mode=True, channel_axis=-1)
    tv = partial(denoise_tv_chambolle, image, channel_axis=-1)
    tried = {
        "total variation": [tv(weight=weight) for weight in (0.08, 0.1, 0.11, 0.12, 0.14)],
        "non-local means": [nlm(h=share * SIGMA) for share in (0.4, 0.45, 0.5, 0.55, 0.6)],
    }
    photos = {name: [torch.from_numpy(result).permute(2, 0, 1) for result in tried[name]] for name in tried}
    return {name: max(photos[name], key=lambda photo: psnr(photo, clean)) for name in photos}


def draw_picture(photos: dict[str, Tensor], captions: list[str]) -> Image.Image:
    """Return the photos on one sheet, three in a row, each with its caption above and a detail of it below."""
    height, width = photos["clean"].shape[1:]
    sheet = Image.new("RGB", (3 * width + 64, 2 * height + 2 * 200 + 120), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=22)
    for i, photo in enumerate(photos.values()):
        x, y = 16 + i % 3 * (width + 16), 12 + i // 3 * (height + 252)
        image = Image.fromarray((photo * 255).round().byte().permute(1, 2, 0).contiguous().numpy())
        sheet.paste(image.resize((width, 200), Image.Resampling.BICUBIC, DETAIL), (x, y + 36 + height))
        ImageDraw.Draw(image).rectangle(DETAIL, outline="yellow", width=2)
        sheet.paste(image, (x, y + 32))
        draw.text((x, y), captions[i], fill="black", font=font)
    return sheet


def main(argv: list[str] | None = None) -> None:
    """Train, compare, print, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default="restored", help="the folder to write to")
    parser.add_argument("--steps", type=int, default=700, help="training steps of each of the two networks")
    parser.add_argument("--seed", type=int, default=0, help="another seed: another noise, another training")
    arguments = parser.parse_args(argv)
    seed, folder = arguments.seed, arguments.output
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    clean, training = load_photo(RESTORED), [load_photo(name) for name in TRAINING]
    noisy = add_noise(clean, torch.Generator().manual_seed(seed + 1))
    photos = {"clean": clean, "noisy": noisy}

    network = build_network().to(device, memory_format=torch.channels_last)
    print(f"{network}\n\nIt learns from {len(training)} photos and restores another one.", flush=True)
    models = [("with skips", network, 2e-3), ("without skips", without_skips(network), 1e-3)]
    for name, model, rate in models:  # each with the learning rate that suits it better
        train(model, training, rate, arguments.steps, seed, name)
        with torch.no_grad():
            photos[name] = model(noisy[None].to(device))[0].cpu()
    photos |= classical_methods(noisy, clean)
    photos = {name: photo.clamp(0, 1) for name, photo in photos.items()}

    decibels = {name: psnr(photo, clean) for name, photo in photos.items() if name != "clean"}
    print("\nHow close to the clean photo (PSNR, more is better)\n")
    for name in sorted(decibels, key=decibels.__getitem__, reverse=True):
        print(f"  {name:<16}{decibels[name]:6.2f} dB")
    print("\nWithout skips: the same layers, first weights and crops; only the words save and add are left out.")
    print("Each of the two has the learning rate that suits it better.")
    print("Total variation and non-local means need no training and are tuned on the clean photo itself.")

    folder.mkdir(parents=True, exist_ok=True)
    captions = ["clean", *(f"{name}: {value:.2f} dB" for name, value in decibels.items())]
    with TemporaryDirectory(prefix=".unfinished", dir=folder) as unfinished:  # each file is there whole or not at all
        draw_picture(photos, captions).save(Path(unfinished) / "before_after.png")
        (Path(unfinished) / "network.txt").write_text(f"{network}\n")
        for path in Path(unfinished).iterdir():
            path.replace(folder / path.name)
    print(f"Written to {folder}: before_after.png, network.txt")


if __name__ == "__main__":
    main()
