// Nuclei by unet @VERSION@. Needs the program unet on the path, or a container
// that holds it; no network.
process UNET {
    tag "$meta.id"
    label 'process_medium'

    input:
    tuple val(meta), path(image)
    path model

    output:
    tuple val(meta), path("${prefix}/*.labels.tif"), emit: labels
    tuple val(meta), path("${prefix}/*.nuclei.csv"), emit: nuclei
    tuple val(meta), path("${prefix}/summary.csv") , emit: summary
    path "versions.yml"                            , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def weights = model ? "--model ${model}" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    unet predict ${image} --out "${prefix}" --format labels,csv ${weights} --threads ${task.cpus} --quiet ${args}

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        unet: \$(unet version | sed 's/^unet //; s/ .*//')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p "${prefix}"
    touch "${prefix}/${image.baseName}.labels.tif" "${prefix}/${image.baseName}.nuclei.csv" "${prefix}/summary.csv"

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        unet: @VERSION@
    END_VERSIONS
    """
}
