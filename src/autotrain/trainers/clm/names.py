"""Names that parameters may take, and what other tools call ours."""

from types import MappingProxyType

OPTIMIZERS = frozenset(
    """
    adamw_torch adamw_torch_fused adamw_torch_xla adamw_torch_npu_fused adafactor adamw_anyprecision
    adamw_torch_4bit adamw_torch_8bit ademamix sgd adagrad adamw_bnb_8bit adamw_8bit ademamix_8bit lion_8bit lion_32bit
    paged_adamw_32bit paged_adamw_8bit paged_ademamix_32bit paged_ademamix_8bit paged_lion_32bit paged_lion_8bit rmsprop
    rmsprop_bnb rmsprop_bnb_8bit rmsprop_bnb_32bit galore_adamw galore_adamw_8bit galore_adafactor galore_adamw_layerwise
    galore_adamw_8bit_layerwise galore_adafactor_layerwise lomo adalomo grokadamw schedule_free_radam schedule_free_adamw
    schedule_free_sgd apollo_adamw apollo_adamw_layerwise stable_adamw
    """.split()
)

SCHEDULERS = frozenset(
    """
    linear cosine cosine_with_restarts polynomial constant constant_with_warmup inverse_sqrt reduce_lr_on_plateau
    cosine_with_min_lr cosine_warmup_with_min_lr warmup_stable_decay greedy
    """.split()
)

# What AutoTrain's page offered, though no library knows the names.
SHORT_OPTIMIZERS = MappingProxyType({"adamw": "adamw_torch", "adam": "adamw_torch", "adamw_hf": "adamw_torch"})
SHORT_SCHEDULERS = MappingProxyType({"cosine_warmup": "cosine"})

# Formulas of DPO; objectives/dpo.py has one for each.
LOSS_TYPES = tuple(
    "sigmoid ipo hinge robust apo_zero apo_down exo_pair nca_pair bco_pair sppo_hard aot sigmoid_norm".split()
)

# What `fast_paths: auto` switches on: each has a plain twin with the same numbers to rounding (docs/performance.md).
FAST_PATHS = ("onednn", "kernels", "attention", "lora", "layer", "environment")
# What has to be asked for by name.
ASKED_FAST_PATHS = ("compile",)

FOREIGN_NAMES = MappingProxyType(
    {
        "learning_rate": "lr",
        "per_device_train_batch_size": "batch_size",
        "train_batch_size": "batch_size",
        "micro_batch_size": "batch_size",
        "gradient_accumulation_steps": "gradient_accumulation",
        "num_train_epochs": "epochs",
        "num_epochs": "epochs",
        "evaluation_strategy": "eval_strategy",
        "lr_scheduler_type": "scheduler",
        "lr_scheduler": "scheduler",
        "optim": "optimizer",
        "report_to": "log",
        "cutoff_len": "block_size",
        "sequence_len": "block_size",
        "max_seq_length": "block_size",
        "max_seq_len": "block_size",
        "max_length": "block_size",
        "use_peft": "peft",
        "use_int4": "quantization: int4",
        "use_int8": "quantization: int8",
        "load_in_4bit": "quantization: int4",
        "load_in_8bit": "quantization: int8",
        "fp16": "mixed_precision: fp16",
        "bf16": "mixed_precision: bf16",
        "lora_rank": "lora_r",
        "lora_target_modules": "target_modules",
        "lora_target": "target_modules",
        "clip_grad_norm": "max_grad_norm",
        "gradient_clipping": "max_grad_norm",
        "beta": "dpo_beta",
        "pref_beta": "dpo_beta",
        "pref_loss": "loss_type",
        "gamma": "simpo_gamma",
        "ref_model": "model_ref",
        "precompute_ref_log_probs": "precompute_reference",
        "center_rewards_coefficient": "reward_centering",
        "desirable_weight": "kto_desirable_weight",
        "undesirable_weight": "kto_undesirable_weight",
        "num_gpus": "devices",
        "n_gpus": "devices",
        "num_processes": "devices",
        "nproc_per_node": "devices",
        "world_size": "devices",
        "num_nodes": "nodes",
        "nnodes": "nodes",
        "num_machines": "nodes",
        "machine_rank": "node_rank",
        "master_addr": "master",
        "main_process_ip": "master",
        "fsdp": "distributed_backend: fsdp",
        "deepspeed": "distributed_backend: fsdp",
        "repo_id": "project_name",
        "output_dir": "project_name",
        "model_name_or_path": "model",
        "base_model": "model",
        "template": "chat_template",
        "dataset": "data_path",
        "data": "data_path",
        "hub_token": "token",
        "sample_packing": "packing",
    }
)
