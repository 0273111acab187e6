"""Restore a noisy photo with a network of a dozen lines, and see what its skip connections are worth.

    python examples/restore_photo.py --output restored

The network learns on other photos, and never sees the one that it restores. The same layers are trained again with the
skips taken out, and two methods that need no training are tried, with their settings tuned on the very photo.
All photos come with scikit-image. It takes about a minute on two cores, and gives the same numbers every time.
"""

import argparse
import copy
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle
from torch import Tensor, nn
from tqdm import tqdm

from skipseq import Sequential, add, save

RESTORED = "chelsea"
LEARNED_FROM = (
    "astronaut brick camera coffee coins grass gravel hubble_deep_field "
    "immunohistochemistry moon retina rocket stereo_motorcycle"
).split()
SIGMA = 25 / 255  # the noise: about 20 dB, a photo taken in far too little light
DETAIL = (150, 75, 112, 50)  # left, top, width and height of what is shown four times larger
NOTES = {
    "noisy": "what the camera gave",
    "with skips": "the network above",
    "without skips": "the same layers, start and training, without the six words save and add",
    "total variation": "no training; its settings are tuned on the clean photo, the networks' are not",
    "non-local means": "no training; its settings are tuned on the clean photo, the networks' are not",
}


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
    photo = photo[0] if isinstance(photo, tuple) else photo  # a stereo pair: the left one
    photo = np.stack([photo] * 3, axis=-1) if photo.ndim == 2 else photo
    height, width = (size // 4 * 4 for size in photo.shape[:2])  # the network halves twice
    return torch.from_numpy(photo[:height, :width]).permute(2, 0, 1).float() / 255


def add_noise(clean: Tensor, generator: torch.Generator) -> Tensor:
    """Return the photos with Gaussian noise."""
    return clean + SIGMA * torch.randn(clean.shape, generator=generator)


def draw_crops(photos: list[Tensor], count: int, size: int, generator: torch.Generator) -> Tensor:
    """Return random squares out of random photos, turned and mirrored at random."""
    crops = []
    for _ in range(count):
        pick, top, left, turns = torch.randint(2**31, (4,), generator=generator).tolist()
        photo = photos[pick % len(photos)]
        top, left = top % (photo.shape[1] - size), left % (photo.shape[2] - size)
        crop = photo[:, top : top + size, left : left + size].rot90(turns % 4, (1, 2))
        crops.append(crop.flip(2) if turns % 8 > 3 else crop)
    return torch.stack(crops)


def train(network: nn.Module, photos: list[Tensor], steps: int, seed: int, label: str) -> None:
    """Train the network to undo noise. A fixed number of steps, not of seconds: the result can be repeated."""
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=steps)
    for _ in tqdm(range(steps), desc=f"training {label}", mininterval=0.5):
        clean = draw_crops(photos, 4, 64, generator).contiguous(memory_format=torch.channels_last)
        noisy = add_noise(clean, generator)
        loss = nn.functional.mse_loss(network(noisy.to(device)), clean.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def psnr(photo: Tensor, clean: Tensor) -> float:
    """Return the peak signal-to-noise ratio in decibels: 3 more means half of the error."""
    return -10 * torch.log10((photo - clean).square().mean()).item()


def classical_methods(noisy: Tensor, clean: Tensor) -> dict[str, Tensor]:
    """Return what needs no training, with the settings that come closest to the clean photo: their very best."""
    image = noisy.permute(1, 2, 0).numpy()
    tv, means = denoise_tv_chambolle, partial(denoise_nl_means, sigma=SIGMA, fast_mode=True)
    tried = {
        "total variation": [tv(image, weight, eps=1e-5, channel_axis=-1) for weight in (0.08, 0.1, 0.12, 0.14)],
        "non-local means": [means(image, 5, 6, h * SIGMA, channel_axis=-1) for h in (0.4, 0.45, 0.5, 0.55, 0.6)],
    }
    photos = {name: [torch.from_numpy(result).permute(2, 0, 1) for result in tried[name]] for name in tried}
    return {name: max(photos[name], key=lambda photo: psnr(photo, clean)) for name in photos}


def draw_picture(photos: dict[str, Tensor], captions: dict[str, str]) -> Image.Image:
    """Return all photos on one sheet, three in a row, each with its caption above and a detail, enlarged, below."""
    _, height, width = photos["clean"].shape
    left, top, detail_width, detail_height = DETAIL
    box = (left, top, left + detail_width, top + detail_height)
    enlarged = (width, width * detail_height // detail_width)
    panel = (width + 16, 32 + height + 4 + enlarged[1] + 16)
    sheet = Image.new("RGB", (16 + 3 * panel[0], 16 + 2 * panel[1]), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=22)
    for i, (name, photo) in enumerate(photos.items()):
        x, y = 16 + i % 3 * panel[0], 16 + i // 3 * panel[1]
        image = Image.fromarray((photo * 255).round().byte().permute(1, 2, 0).contiguous().numpy())
        detail = image.resize(enlarged, Image.Resampling.BICUBIC, box)
        ImageDraw.Draw(image).rectangle(box, outline="yellow", width=2)
        draw.text((x, y), captions[name], fill="black", font=font)
        sheet.paste(image, (x, y + 32))
        sheet.paste(detail, (x, y + 32 + height + 4))
    return sheet


def main(argv: list[str] | None = None) -> None:
    """Train, compare, and write a picture and the printed network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("restored"), help="the folder to write to")
    parser.add_argument("--steps", type=int, default=800, help="training steps of each of the two networks")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another noise and another training")
    arguments = parser.parse_args(argv)

    torch.manual_seed(arguments.seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    others = [load_photo(name) for name in LEARNED_FROM]
    clean = load_photo(RESTORED)
    noisy = add_noise(clean, torch.Generator().manual_seed(arguments.seed + 1))
    photos = {"clean": clean, "noisy": noisy}

    network = build_network().to(device, memory_format=torch.channels_last)
    print(f"{network}\n\nIt learns from {len(others)} photos and restores another one, '{RESTORED}'.", flush=True)
    for name, model in {"with skips": network, "without skips": without_skips(network)}.items():
        train(model, others, arguments.steps, arguments.seed, name)
        with torch.no_grad():
            photos[name] = model(noisy[None].to(device))[0].cpu()
    photos |= classical_methods(noisy, clean)

    photos = {name: photo.clamp(0, 1) for name, photo in photos.items()}
    decibels = {name: psnr(photo, clean) for name, photo in photos.items() if name != "clean"}
    print("\nCloseness to the clean photo (PSNR, more is better):\n")
    for name in sorted(decibels, key=decibels.__getitem__, reverse=True):
        print(f"  {name:<16}{decibels[name]:6.2f} dB  {NOTES[name]}")

    arguments.output.mkdir(parents=True, exist_ok=True)
    captions = {"clean": "clean"} | {name: f"{name}: {value:.2f} dB" for name, value in decibels.items()}
    draw_picture(photos, captions).save(arguments.output / "before_after.png")
    (arguments.output / "network.txt").write_text(f"{network}\n")
    print(f"\nThe pictures are in {arguments.output / 'before_after.png'}, the network in network.txt beside it.")


if __name__ == "__main__":
    main()
