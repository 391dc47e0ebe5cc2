// Runs the module on the images of --images, without nf-test:
//
//   nextflow run tests/main.nf --images '*.tif'
include { UNET } from '../main.nf'

workflow {
    images = Channel.fromPath(params.images, checkIfExists: true).map { [[id: it.baseName], it] }
    UNET(images, [])
    UNET.out.summary.view { meta, file -> "${meta.id}: ${file.readLines().size() - 1} image, ${file.splitCsv(header: true)[0].count} nuclei" }
}
