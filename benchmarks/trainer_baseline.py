"""LoRA of a vision-language classifier with the Hugging Face Trainer and PEFT, the way their documentation shows.

What the benchmark `vlm` measures `histobench.training.fit` against. The whole model sees the pixels of every image in every
epoch; its frozen vision tower is no matter of its own.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import Dataset
from transformers import AutoModel, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from histobench.models.vlm_architecture import Architecture, architecture
from histobench.study.recipes import Lora, Recipe
from histobench.study.spec import VlmSettings
from histobench.training import device as devices

WORKERS = 4  # processes that prepare pixels for a GPU


class ImageClassifier(nn.Module):
    """The model with a linear head on its last hidden state, that of the end marker."""

    def __init__(self, model: nn.Module, dimensions: int):
        super().__init__()
        self.model = model
        self.head = nn.Linear(dimensions, 1)

    def forward(self, inputs: dict[str, torch.Tensor], labels: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = self.model(**inputs, use_cache=False).last_hidden_state
        logits = self.head(hidden[:, -1].to(self.head.weight.dtype)).squeeze(1)
        return {"loss": binary_cross_entropy_with_logits(logits.float(), labels), "logits": logits}


class Images(Dataset):
    """Decoded images and their labels."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray):
        self.pixels, self.labels = pixels, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": self.pixels[index], "label": self.labels[index]}


class Collator:
    """Makes the model's inputs of examples by the family's own image processor."""

    def __init__(self, settings: VlmSettings, made: Architecture):
        self.qwen = settings.family == "qwen2-vl"
        vision = made.config.vision_config
        if self.qwen:
            self.processor = transformers.Qwen2VLImageProcessor(
                do_resize=False, patch_size=vision.patch_size, merge_size=vision.spatial_merge_size
            )
        else:
            self.processor = transformers.Idefics3ImageProcessor(
                do_resize=False, do_image_splitting=False, max_image_size={"longest_edge": settings.image_size}
            )
        start, self.image, end = made.family.marker_ids(made.config)
        self.ids = torch.tensor([start, *[self.image] * made.side**2, end])

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        ids = self.ids.repeat(len(examples), 1)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        images = [example["image"] for example in examples]
        if self.qwen:
            inputs["mm_token_type_ids"] = (ids == self.image).int()
            inputs |= self.processor(images, return_tensors="pt")
        else:
            inputs |= self.processor([[image] for image in images], return_tensors="pt")
        return {"inputs": inputs, "labels": torch.tensor(np.array([example["label"] for example in examples]))}


class EpochTimes(TrainerCallback):
    """Seconds of each epoch."""

    def __init__(self):
        self.seconds: list[float] = []

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self.began)


def model_with_adapters(settings: VlmSettings, lora: Lora, device: torch.device) -> nn.Module:
    """Return the classifier that PEFT makes of a model with random parameters; bf16 on a GPU that has it."""
    made = architecture(settings)
    dtype = torch.bfloat16 if devices.precision(device) == "bf16" else torch.float32
    with torch.device(device):
        # With downloaded weights this would be AutoModel.from_pretrained(name, dtype=...).
        model = AutoModel.from_config(made.config, dtype=dtype)
        classifier = ImageClassifier(model, made.tokens[1])
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        # The usual list of names (q_proj, ...) would put adapters into SmolVLM's vision tower too.
        target_modules=rf".*\.{made.family.DECODER}\.layers\.\d+\.self_attn\.({'|'.join(lora.projections)})_proj",
        modules_to_save=["head"],
    )
    return get_peft_model(classifier, config)


def train(
    settings: VlmSettings,
    pixels: np.ndarray,
    labels: np.ndarray,
    lora: Lora,
    recipe: Recipe,
    micro_batch: int,
    device: torch.device,
    folder: Path,
) -> list[float]:
    """Train on images (N, S, S, 3) uint8 with labels (N,) float32; return the seconds of each epoch."""
    times = EpochTimes()
    gpu = device.type == "cuda"
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=recipe.batch_size // micro_batch,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        lr_scheduler_type="cosine",
        max_grad_norm=0,
        bf16=devices.precision(device) == "bf16",
        use_cpu=not gpu,
        dataloader_num_workers=WORKERS if gpu else 0,
        remove_unused_columns=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=model_with_adapters(settings, lora, device),
        args=arguments,
        train_dataset=Images(pixels, labels),
        data_collator=Collator(settings, architecture(settings)),
        callbacks=[times],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return times.seconds
