"""What a run computes on: GPUs, number formats, memory, adapters, several processes. No formula of PPO stands here.

`language` asks this folder to go forward, backward and step; without a GPU, and alone, nothing of it is needed.
"""
