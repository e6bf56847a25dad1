#!/usr/bin/perl

# The Chatmaid sandbox as a process of its own.
#
#   t/sandbox.pl --dir DIR [--port N] [--control N] [--cert good|wrong|foreign]
#                [--settings FILE] [--ready FILE] [--plain] [--orphan]
#                [--receiver]
#
# DIR receives the certificates (its CA is DIR/ca.crt).  With --ready the ports
# are written there as JSON once both accept.  It ends by SIGTERM, and when its
# standard input ends unless --orphan is given: a test that was killed leaves no
# process behind.  With --receiver it is not Chatmaid but who gets its webhooks.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::RealBin/lib";

use Chatmaid::Certificates;
use Chatmaid::Sandbox;
use Chatmaid::Sandbox::Receiver;
use Getopt::Long;
use Mojo::File qw(path);
use Mojo::IOLoop;
use Mojo::JSON qw(decode_json encode_json);

my %option = (port => 0, control => 0, cert => 'good');
GetOptions(\%option, qw(dir=s port=i control=i cert=s settings=s ready=s plain orphan receiver))
    or die "usage: see the head of $0\n";
die "--dir is missing\n" unless $option{dir};

my $certificates = Chatmaid::Certificates->new(dir => $option{dir});
my $settings     = $option{settings} ? decode_json(path($option{settings})->slurp)
    : {keys => [{key => 'sk_test_local_sandbox', account => 'sandbox'}]};

unless ($option{orphan}) {
    Mojo::IOLoop->singleton->reactor->io(\*STDIN => sub {
        exit 0 unless sysread STDIN, my $ignored, 4096;
    })->watch(\*STDIN, 1, 0);
}

my $class = $option{receiver} ? 'Chatmaid::Sandbox::Receiver' : 'Chatmaid::Sandbox';

$class->serve(
    port     => $option{port},
    control  => $option{control},
    plain    => $option{plain},
    cert     => $certificates->crt($option{cert}),
    key      => $certificates->key($option{cert}),
    ca       => $certificates->crt('ca'),
    settings => $settings,
    ready    => sub ($api, $control) {
        my $ports = encode_json({api => $api, control => $control, pid => $$});
        if (my $file = $option{ready}) {
            path("$file.new")->spurt($ports)->move_to($file);
        }
        say $ports;
        STDOUT->flush;
    },
);
