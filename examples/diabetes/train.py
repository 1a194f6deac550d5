"""Train a model of how diabetes goes on in a year, save it as an MLflow model, and write other patients as CSV files.

Into the folder given go model/ (an MLflow model with a signature), patients/ (four CSV files) and truth.csv.
"""

from __future__ import annotations

import argparse
import logging
import shutil
from importlib.metadata import version
from pathlib import Path

import mlflow
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split

#: What the model needs to run. Named here because MLflow takes half a minute to find it out.
NEEDED = ("cloudpickle", "mlflow-skinny", "numpy", "pandas", "scikit-learn")
WARDS = 4


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args().folder
    shutil.rmtree(folder, ignore_errors=True)
    seen, unseen, truth, unseen_truth = train_test_split(
        *load_diabetes(return_X_y=True, as_frame=True), test_size=0.25, random_state=7
    )
    # MLflow warns that a pickle runs code when it is read; this one is read where it was written.
    logging.getLogger("mlflow.sklearn").setLevel(logging.ERROR)
    model = Ridge(alpha=0.01).fit(seen, truth)
    mlflow.sklearn.save_model(
        model,
        folder / "model",
        signature=mlflow.models.infer_signature(seen, model.predict(seen)),
        pip_requirements=[f"{name}=={version(name)}" for name in NEEDED],
        serialization_format="cloudpickle",
    )
    (folder / "patients").mkdir()
    for ward in range(WARDS):
        unseen.iloc[ward::WARDS].to_csv(folder / "patients" / f"ward-{ward + 1}.csv", index=False)
    unseen_truth.to_csv(folder / "truth.csv", index=False)
    print(f"Trained on {len(seen)} patients; {len(unseen)} others wait in {folder / 'patients'}")


if __name__ == "__main__":
    main()
